//! The issue that is created for a finding: ticket text, labels, property, and the fields of the configuration.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::Value;

use super::ticket::{Material, compose};
use super::wire::{ByKey, ByName, Description, NewFields, NewIssue, Property, Stamp, UserRef};
use super::{PROPERTY, label};
use crate::config::{Deployment, TicketDefaults};

/// The issue that is created for a finding, as a deployment takes it.
///
/// The error says which configured field cannot be filled and why.
pub fn new_issue(
    defaults: &TicketDefaults,
    material: &Material<'_>,
    deployment: Deployment,
) -> Result<NewIssue, String> {
    let finding = material.finding;
    let composed = compose(material);
    let stamp = Stamp {
        fingerprint: finding.fingerprint.clone(),
        generation: material.generation,
    };
    let mut labels = vec![label(&finding.fingerprint, material.generation)];
    labels.extend(defaults.labels.iter().cloned());
    Ok(NewIssue {
        fields: NewFields {
            project: ByKey {
                key: defaults.project.clone(),
            },
            issuetype: ByName {
                name: defaults.issue_type.clone(),
            },
            summary: composed.summary,
            description: Description::new(&composed.description, deployment),
            labels,
            priority: defaults
                .priority
                .get(&finding.severity)
                .map(|name| ByName { name: name.clone() }),
            components: named(&defaults.components),
            assignee: defaults.assignee.as_ref().map(|id| UserRef::new(id, deployment)),
            security: defaults.security_level.clone().map(|name| ByName { name }),
            parent: defaults.parent.clone().map(|key| ByKey { key }),
            more: configured(defaults, material)?,
        },
        properties: vec![Property {
            key: PROPERTY.to_owned(),
            // A struct with string keys cannot fail to become a value.
            value: serde_json::to_value(&stamp).unwrap_or_default(),
        }],
    })
}

/// The configured fields that do not depend on a finding: those without a template.
pub fn fixed_fields(defaults: &TicketDefaults) -> BTreeMap<String, Value> {
    let fixed = defaults.fields.iter().filter(|(_, value)| {
        let text = value.to_string();
        !text.contains("{{") && !text.contains("{%")
    });
    fixed.map(|(id, value)| (id.clone(), value.clone())).collect()
}

fn named(names: &[String]) -> Vec<ByName> {
    names.iter().map(|name| ByName { name: name.clone() }).collect()
}

fn configured(defaults: &TicketDefaults, material: &Material<'_>) -> Result<BTreeMap<String, Value>, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let values = values(material);
    defaults
        .fields
        .iter()
        .map(|(id, value)| match filled(&environment, value, &values) {
            Ok(value) => Ok((id.clone(), value)),
            Err(error) => Err(format!("jira.defaults.fields.{id}: {error:#}")),
        })
        .collect()
}

/// What templates may name. Nothing in it was written by a page.
fn values(material: &Material<'_>) -> minijinja::Value {
    let finding = material.finding;
    let mut site = BTreeMap::from([("id", finding.site.0.clone())]);
    if let Some(known) = material.site {
        site.insert("title", known.title.clone());
        site.extend(known.owner.clone().map(|owner| ("owner", owner)));
        site.extend(known.approved_by.clone().map(|who| ("approved_by", who)));
    }
    context! {
        site,
        finding => context! {
            fingerprint => finding.fingerprint.0.as_str(),
            check => finding.check.as_str(),
            severity => finding.severity.as_str(),
            confidence => finding.confidence.as_str(),
        },
    }
}

fn filled(environment: &Environment<'_>, value: &Value, values: &minijinja::Value) -> Result<Value, minijinja::Error> {
    Ok(match value {
        Value::String(template) => Value::String(environment.render_str(template, values)?),
        Value::Array(list) => Value::Array(
            list.iter()
                .map(|one| filled(environment, one, values))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, one)| Ok((key.clone(), filled(environment, one, values)?)))
                .collect::<Result<_, minijinja::Error>>()?,
        ),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tickets::testing::{config, finding};

    fn fields(configured: &[(&str, Value)]) -> Result<Value, String> {
        let mut defaults = config("http://127.0.0.1:9").defaults;
        defaults.fields = configured
            .iter()
            .map(|(id, value)| ((*id).to_owned(), value.clone()))
            .collect();
        let finding = finding(7);
        let issue = new_issue(
            &defaults,
            &Material {
                finding: &finding,
                generation: 1,
                pages: &[],
                page_count: 3,
                site: None,
                docs: None,
                way: &[],
                issue_key: None,
            },
            Deployment::Cloud,
        )?;
        Ok(serde_json::to_value(issue).unwrap())
    }

    #[test]
    fn nothing_is_sent_that_was_not_asked_for() {
        let issue = fields(&[]).unwrap();
        let keys: Vec<&str> = issue["fields"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            ["description", "issuetype", "labels", "priority", "project", "summary"]
        );
        let fingerprint = finding(7).fingerprint.0;
        assert_eq!(issue["fields"]["labels"][0], format!("phantom-{fingerprint}-g1"));
        assert_eq!(
            issue["properties"],
            json!([{ "key": PROPERTY, "value": { "fingerprint": fingerprint, "generation": 1 } }])
        );
    }

    #[test]
    fn configured_fields_are_filled() {
        let issue = fields(&[
            ("customfield_1", json!({ "value": "DAST" })),
            ("customfield_2", json!(["{{ site.id }}", "{{ finding.severity }}"])),
        ])
        .unwrap();
        assert_eq!(issue["fields"]["customfield_1"], json!({ "value": "DAST" }));
        assert_eq!(issue["fields"]["customfield_2"], json!(["shop", "high"]));
    }

    #[test]
    fn what_cannot_be_filled_names_its_field() {
        for template in ["{{ site.owner }}", "{{ nothing }}", "{{ unclosed"] {
            let error = fields(&[("customfield_9", json!(template))]).unwrap_err();
            assert!(error.starts_with("jira.defaults.fields.customfield_9: "), "{error}");
        }
    }
}
