//! Every request of ours and every response of the sandbox, against Atlassian's own descriptions of Jira Cloud.
//!
//! They are read from the folder that `PHANTOM_CONTRACTS` names; without it this says that it was skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jsonschema::{Draft, Validator};
use phantom_checks::{Cause, Confidence, Fact, Severity};
use phantom_gang::config::{Deployment, JiraAuth, JiraConfig, SecretSource, TicketDefaults, TicketMode};
use phantom_gang::jira::{Client, Failure, Material, NewComment, NewIssue, SearchRequest, Stamp, compose, new_issue};
use phantom_gang::sandbox::{Exchange, Faults, Sandbox, SandboxOptions};
use phantom_gang::scan::ScanId;
use phantom_gang::site::SiteId;
use phantom_gang::triage::{Finding, FindingPage, FindingState, Fingerprint};
use serde_json::{Value, json};

const HOSTILE: &str =
    "{code}*x*@admin [~admin] <script>alert(1)</script>\u{202e}gpj.exe\u{0}[x|javascript:alert(1)] 😀";

/// The folder of contracts, if there is one.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PHANTOM_CONTRACTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: PHANTOM_CONTRACTS is not set, so there are no contracts to validate against");
    }
    folder
}

fn read(folder: &std::path::Path, name: &str) -> Value {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// Jira writes times as its own examples do, with an offset that RFC 3339 does not know: `+0000`.
fn is_jira_time(text: &str) -> bool {
    let (time, offset) = text.split_at_checked(text.len().saturating_sub(5)).unwrap_or_default();
    offset == "+0000" && time.len() == 23 && format!("{time}Z").parse::<jiff::Timestamp>().is_ok()
}

/// Jira's API as described.
struct Contract {
    api: Value,
    validators: BTreeMap<String, Validator>,
}

impl Contract {
    fn new(api: Value) -> Self {
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
    fn exchange(&mut self, one: &Exchange) -> usize {
        let path = self.path(&one.path);
        let what = format!("{} {}", one.method, path);
        let operation = self.api["paths"][&path][one.method.to_lowercase()].clone();
        assert!(operation.is_object(), "{what} is not described");
        let known: Vec<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        for (name, _) in url::form_urlencoded::parse(one.query.as_bytes()) {
            assert!(known.contains(&name.as_ref()), "{what}: {name} is not described");
        }
        let mut validated = 0;
        let request = &operation["requestBody"]["content"]["application/json"]["schema"];
        match &one.body {
            Some(body) => {
                assert!(request.is_object(), "{what} takes no body");
                self.check(request, body, &format!("request {what}"));
                validated += 1;
            }
            None => assert!(
                !operation["requestBody"]["required"].as_bool().unwrap_or(false),
                "{what}: no body"
            ),
        }
        // Rate limits and outages are not described.
        let Some(status) = one.status.filter(|status| *status != 429 && *status < 500) else {
            return validated;
        };
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{what}: status {status} is not described");
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_object() {
            let body = one.response.clone().unwrap_or_default();
            self.check(schema, &body, &format!("response {what} {status}"));
            validated += 1;
        }
        validated
    }
}

fn finding(number: u32, text: &str) -> Finding {
    let site = SiteId("shop".to_owned());
    let cause = Cause::new(1, [("number", number.to_string())]);
    Finding {
        fingerprint: Fingerprint::of(&site, "mixed-content", &cause),
        site,
        check: "mixed-content".to_owned(),
        check_version: 1,
        title: format!("Script is loaded over http {text}"),
        severity: Severity::High,
        confidence: Confidence::Certain,
        state: FindingState::New,
        cause,
        facts: vec![Fact::new("resource", text), Fact::new(text, "http://cdn.test/a.js")],
        third_party: false,
        first_seen: "2026-11-23T05:00:00Z".parse().unwrap(),
        last_seen: "2026-11-23T05:00:00Z".parse().unwrap(),
        first_scan: ScanId("s1".to_owned()),
        last_scan: ScanId("s1".to_owned()),
        past: phantom_gang::triage::Past::default(),
    }
}

fn config(base: &str, token: &std::path::Path) -> JiraConfig {
    JiraConfig {
        deployment: Deployment::Cloud,
        base_url: base.parse().unwrap(),
        browse_url: base.parse().unwrap(),
        auth: JiraAuth::Basic {
            email: SandboxOptions::default().user,
            token: SecretSource::File(token.to_owned()),
        },
        mode: TicketMode::Live,
        requests_per_s: 100_000.0,
        timeout: Duration::from_secs(10),
        defaults: TicketDefaults {
            project: "SEC".to_owned(),
            search_projects: vec!["SEC".to_owned()],
            issue_type: "Bug".to_owned(),
            min_severity: Severity::Medium,
            min_confidence: Confidence::Firm,
            labels: vec!["phantom-gang".to_owned()],
            priority: [(Severity::High, "High".to_owned())].into(),
            fields: [("customfield_10010".to_owned(), json!({ "value": "DAST" }))].into(),
        },
    }
}

fn issue(config: &JiraConfig, finding: &Finding) -> NewIssue {
    let pages = [
        FindingPage {
            url: "https://shop.test/a?b=1".to_owned(),
            facts: finding.facts.clone(),
        },
        FindingPage {
            url: format!("javascript:{HOSTILE}"),
            facts: Vec::new(),
        },
    ];
    let docs = phantom_checks::Docs::parse(
        "//! # Why it matters\n//! One `code` and [a link](https://x.test/).\n//!\n//! - a\n//! - b\n//! # How to fix\n//! \
         ```\n//! x\n//! ```\n",
    );
    let material = Material {
        finding,
        generation: 1,
        pages: &pages,
        page_count: 70,
        site: None,
        docs: Some(&docs),
    };
    new_issue(&config.defaults, &material).unwrap()
}

/// All that the client can do, also what goes wrong.
async fn scenario(sandbox: &Sandbox, config: &JiraConfig) {
    let jira = Client::new(config).unwrap();
    assert_eq!(jira.myself().await.unwrap().account_id, "sandbox");
    let first = finding(1, HOSTILE);
    let created = jira
        .create_issue(jira.permit().await, &issue(config, &first))
        .await
        .unwrap();
    let read = jira.issue(&created.id).await.unwrap();
    let stamp = read.stamp().unwrap();
    assert_eq!(
        (read.key, stamp.fingerprint),
        (created.key.clone(), first.fingerprint.clone())
    );
    let next = Stamp {
        fingerprint: first.fingerprint.clone(),
        generation: 2,
    };
    jira.set_stamp(jira.permit().await, &created.key, &next).await.unwrap();
    assert_eq!(jira.stamp(&created.id).await.unwrap(), Some(next.clone()));
    sandbox.edit(&created.key, |issue| issue.properties.clear());
    assert_eq!(jira.stamp(&created.id).await.unwrap(), None);
    jira.set_stamp(jira.permit().await, &created.id, &next).await.unwrap();
    let comment = NewComment::new(compose_hostile(&first));
    jira.add_comment(jira.permit().await, &created.id, &comment)
        .await
        .unwrap();

    // Five issues on pages of two, under the label that all of them carry.
    for number in 2..=5 {
        let one = issue(config, &finding(number, "plain"));
        jira.create_issue(jira.permit().await, &one).await.unwrap();
    }
    let mut search = SearchRequest::for_ticket(&config.defaults.search_projects, &first.fingerprint, 1);
    assert_eq!(jira.search(search.clone()).await.unwrap().len(), 1);
    search.jql = String::from("project = SEC AND labels = phantom-gang ORDER BY created DESC");
    search.max_results = 2;
    assert_eq!(jira.search(search.clone()).await.unwrap().len(), 5);

    failures(sandbox, config, &jira, &created.id, search).await;
}

fn compose_hostile(finding: &Finding) -> phantom_gang::jira::Document {
    let material = Material {
        finding,
        generation: 1,
        pages: &[],
        page_count: 0,
        site: None,
        docs: None,
    };
    compose(&material).description
}

async fn failures(sandbox: &Sandbox, config: &JiraConfig, jira: &Client, id: &str, mut search: SearchRequest) {
    search.jql = String::from("status = Done");
    assert!(matches!(jira.search(search).await, Err(Failure::Rejected { .. })));
    assert!(matches!(jira.issue("99").await, Err(Failure::NotFound { .. })));
    let mut bad = issue(config, &finding(6, ""));
    bad.fields.labels.push("a b".to_owned());
    let refused = jira.create_issue(jira.permit().await, &bad).await;
    assert!(matches!(refused, Err(Failure::Rejected { rejection, .. }) if rejection.fields.contains_key("labels")));
    let empty = NewComment { body: Value::Null };
    let refused = jira.add_comment(jira.permit().await, id, &empty).await;
    assert!(matches!(refused, Err(Failure::Rejected { .. })));

    let faults = Faults::default();
    sandbox.set_faults(Faults {
        unauthorized: 1,
        ..faults
    });
    assert!(matches!(jira.myself().await, Err(Failure::Unauthorized { .. })));
    sandbox.set_faults(Faults {
        rate_limited: 1,
        retry_after_s: 9,
        ..faults
    });
    let limited = jira.myself().await;
    assert!(matches!(limited, Err(Failure::RateLimited { retry_after, .. }) if retry_after.as_secs() == 9));
    let good = issue(config, &finding(7, ""));
    sandbox.set_faults(Faults {
        server_errors: 1,
        ..faults
    });
    let unsure = jira.create_issue(jira.permit().await, &good).await;
    assert!(matches!(unsure, Err(Failure::Uncertain { .. })));
    sandbox.set_faults(Faults {
        drop_creates: 1,
        ..faults
    });
    let unsure = jira.create_issue(jira.permit().await, &good).await;
    assert!(matches!(unsure, Err(Failure::Uncertain { .. })), "{unsure:?}");
    let found = jira
        .find(&config.defaults.search_projects, &finding(7, "").fingerprint, 1)
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

/// What our client does not send yet, but the sandbox answers.
async fn beyond(sandbox: &Sandbox) {
    let client = plain_client();
    let options = SandboxOptions::default();
    let issue = format!("{}/rest/api/3/issue/SEC-1", sandbox.base_url());
    let with = |request: reqwest::RequestBuilder| request.basic_auth(&options.user, Some(&options.token)).send();
    for url in [
        format!("{issue}/comment"),
        format!("{issue}/transitions"),
        format!("{issue}?fields=*all&properties=*all"),
        issue.clone(),
    ] {
        assert_eq!(with(client.get(url)).await.unwrap().status(), 200);
    }
    let done = json!({ "transition": { "id": "31" } });
    let moved = with(client.post(format!("{issue}/transitions")).json(&done))
        .await
        .unwrap();
    assert_eq!(moved.status(), 204);
    let stranger = client
        .get(&issue)
        .basic_auth("who", Some("knows"))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 401);
}

fn plain_client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap()
}

/// Every Atlassian document in a value.
fn documents<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) if map.get("type").is_some_and(|kind| kind == "doc") => found.push(value),
        Value::Object(map) => map.values().for_each(|one| documents(one, found)),
        Value::Array(list) => list.iter().for_each(|one| documents(one, found)),
        _ => {}
    }
}

#[tokio::test]
async fn requests_and_responses_are_as_atlassian_describes_them() {
    let Some(folder) = folder() else { return };
    let token = tempfile::NamedTempFile::new().unwrap();
    let options = SandboxOptions {
        custom_fields: vec!["customfield_10010".to_owned()],
        ..SandboxOptions::default()
    };
    std::fs::write(token.path(), &options.token).unwrap();
    let sandbox = Sandbox::start(options).await.unwrap();
    scenario(&sandbox, &config(sandbox.base_url(), token.path())).await;
    beyond(&sandbox).await;

    let log = sandbox.log();
    let mut contract = Contract::new(read(&folder, "jira-cloud-v3.openapi.json"));
    let validated: usize = log.iter().map(|one| contract.exchange(one)).sum();
    assert!(
        validated > 40,
        "only {validated} bodies of {} exchanges were validated",
        log.len()
    );

    let schema = read(&folder, "adf-document.schema.json");
    let validator = jsonschema::options().with_draft(Draft::Draft4).build(&schema).unwrap();
    let mut found = Vec::new();
    for one in &log {
        one.body
            .iter()
            .chain(&one.response)
            .for_each(|body| documents(body, &mut found));
    }
    assert!(found.len() > 10, "only {} documents", found.len());
    for document in found {
        let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
        let text = document.to_string();
        assert!(!text.contains("\"href\":\"javascript"), "{text}");
        assert!(!text.contains("\"mention\""), "{text}");
    }
}

/// The validation above would be worth nothing if it let everything pass.
#[tokio::test]
async fn the_contracts_refuse_what_jira_would_refuse() {
    let Some(folder) = folder() else { return };
    let api = read(&folder, "jira-cloud-v3.openapi.json");
    let search =
        json!({ "$ref": "#/components/schemas/SearchAndReconcileRequestBean", "components": api["components"] });
    let validator = jsonschema::options().with_draft(Draft::Draft4).build(&search).unwrap();
    assert!(validator.is_valid(&json!({ "jql": "project = SEC" })));
    assert!(!validator.is_valid(&json!({ "jql": "project = SEC", "startAt": 0 })));
    let validator = jsonschema::options()
        .with_draft(Draft::Draft4)
        .build(&read(&folder, "adf-document.schema.json"))
        .unwrap();
    let text = |text: &str| {
        json!({ "type": "doc", "version": 1, "content": [
            { "type": "paragraph", "content": [{ "type": "text", "text": text }] },
        ] })
    };
    assert!(validator.is_valid(&text("x")));
    assert!(!validator.is_valid(&text("")));
}
