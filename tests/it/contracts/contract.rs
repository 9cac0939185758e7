//! Validates requests and responses against a description of an API.

use std::collections::BTreeMap;

use jsonschema::{Draft, Validator};
use phantom_gang::config::Deployment;
use phantom_gang::sandbox::Exchange;
use serde_json::{Value, json};

use super::read;

/// Jira writes times as its own examples do, with an offset that RFC 3339 does not know: `+0000`.
fn is_jira_time(text: &str) -> bool {
    let (time, offset) = text.split_at_checked(text.len().saturating_sub(5)).unwrap_or_default();
    offset == "+0000" && time.len() == 23 && format!("{time}Z").parse::<jiff::Timestamp>().is_ok()
}

/// Jira's API as described.
pub struct Contract {
    api: Value,
    validators: BTreeMap<String, Validator>,
}

impl Contract {
    pub fn read(folder: &std::path::Path, deployment: Deployment) -> Self {
        let api = match deployment {
            Deployment::Cloud => read(folder, "jira-cloud-v3.openapi.json"),
            Deployment::DataCenter => relaxed(read(folder, "jira-datacenter-10.3.openapi.json")),
        };
        Self {
            api,
            validators: BTreeMap::new(),
        }
    }

    /// The described path that a real one is an instance of.
    fn path(&self, real: &str) -> String {
        let real: Vec<&str> = real.split('/').collect();
        let fits = |template: &&String| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == real.len()
                && std::iter::zip(&template, &real).all(|(part, own)| part.starts_with('{') || part == own)
        };
        let paths = self.api["paths"].as_object().unwrap();
        let mut fitting: Vec<&String> = paths.keys().filter(fits).collect();
        fitting.sort_by_key(|template| template.matches('{').count());
        fitting
            .first()
            .map_or_else(|| panic!("{real:?} is not described"), |template| (*template).clone())
    }

    fn check(&mut self, schema: &Value, value: &Value, what: &str) {
        let api = &self.api;
        let validator = self.validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = schema.clone();
            whole["components"] = api["components"].clone();
            jsonschema::options()
                .with_draft(Draft::Draft4)
                .with_format("date-time", is_jira_time)
                .build(&whole)
                .unwrap()
        });
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }

    /// Validates a request and its response. Returns how many of both had a schema.
    pub fn exchange(&mut self, one: &Exchange) -> usize {
        let base = if self.api["paths"]["/api/2/issue"].is_object() {
            "/rest"
        } else {
            ""
        };
        let path = self.path(one.path.strip_prefix(base).unwrap());
        let what = format!("{} {}", one.method, path);
        let operation = self.api["paths"][&path][one.method.to_lowercase()].clone();
        assert!(operation.is_object(), "{what} is not described");
        // Data Center's own page on transitions tells of `expand`, the description does not.
        let mut known: Vec<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        if path == "/api/2/issue/{issueIdOrKey}/transitions" {
            known.push("expand");
        }
        for (name, _) in url::form_urlencoded::parse(one.query.as_bytes()) {
            assert!(known.contains(&name.as_ref()), "{what}: {name} is not described");
        }
        let mut validated = 0;
        let request = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Some(body) = &one.body {
            assert!(request.is_object(), "{what} takes no body");
            self.check(request, body, &format!("request {what}"));
            validated += 1;
        } else {
            let content = &operation["requestBody"];
            let form = content["content"]["multipart/form-data"].is_object();
            assert!(
                form || !content["required"].as_bool().unwrap_or(false),
                "{what}: no body"
            );
        }
        // Rate limits and outages are not described.
        let Some(status) = one.status.filter(|status| *status != 429 && *status < 500) else {
            return validated;
        };
        let response = &operation["responses"][status.to_string()];
        // Nor, for most resources of Data Center, what a stranger is told.
        if status == 401 && response.is_null() {
            return validated;
        }
        assert!(response.is_object(), "{what}: status {status} is not described");
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_object() {
            let body = one.response.clone().unwrap_or_default();
            let described = schema.clone();
            // Data Center describes one thing where it answers a list or a page of them.
            let listed = if described["type"] == "array" {
                None
            } else {
                body.as_array()
            };
            let paged = body["values"]
                .as_array()
                .filter(|_| path.contains("createmeta") && path.starts_with("/api/2"));
            for one in listed
                .or(paged)
                .map_or_else(|| vec![&body], |list| list.iter().collect())
            {
                self.check(&described, one, &format!("response {what} {status}"));
                validated += 1;
            }
        }
        validated
    }
}

/// The description of Data Center is stricter than the server: it calls every field an object, and what is JSON a
/// string.
fn relaxed(mut api: Value) -> Value {
    let schemas = &mut api["components"]["schemas"];
    for bean in ["IssueUpdateBean", "IssueBean", "TransitionBean"] {
        if let Some(fields) = schemas[bean]["properties"]["fields"].as_object_mut() {
            fields.remove("additionalProperties");
        }
    }
    for (bean, property) in [("PropertiesBean", "properties"), ("EntityPropertyBean", "value")] {
        schemas[bean]["properties"][property] = json!({});
    }
    // The server tells a link that is new by 201, as it does everywhere else.
    let answers = &mut api["paths"]["/api/2/issue/{issueIdOrKey}/remotelink"]["post"]["responses"];
    answers["201"] = answers["200"].clone();
    let property = "/api/2/issue/{issueIdOrKey}/properties/{propertyKey}";
    api["paths"][property]["put"]["requestBody"]["content"]["application/json"]["schema"] = json!({});
    api
}
