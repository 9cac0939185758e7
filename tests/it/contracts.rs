//! Every request of ours and every response of the sandbox, against Atlassian's own descriptions of Jira Cloud and Jira
//! Data Center.
//!
//! They are read from the folder that `PHANTOM_CONTRACTS` names; without it this says that it was skipped.

use std::path::PathBuf;
use std::time::Duration;

use jsonschema::Draft;
use phantom_checks::{Cause, Confidence, Fact, Severity};
use phantom_gang::config::{Deployment, JiraAuth, JiraConfig, SecretSource, TicketDefaults};
use phantom_gang::jira::{
    Client, Description, Document, Failure, IssueEdit, IssueLinkRequest, LinkDirection, Material, NewIssue,
    PERMISSIONS, SearchRequest, Stamp, TransitionRequest, Upload, compose, new_issue,
};
use phantom_gang::sandbox::{Exchange, Faults, Sandbox, SandboxOptions};
use phantom_gang::scan::ScanId;
use phantom_gang::site::SiteId;
use phantom_gang::triage::{Finding, FindingPage, FindingState, Fingerprint};
use serde_json::{Value, json};

mod contract;

use contract::Contract;

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

fn config(base: &str, token: &std::path::Path, deployment: Deployment) -> JiraConfig {
    let auth = JiraAuth::Basic {
        user: SandboxOptions::default().user,
        token: SecretSource::File(token.to_owned()),
    };
    let defaults = TicketDefaults {
        priority: [(Severity::High, "High".to_owned())].into(),
        fields: [("customfield_10010".to_owned(), json!({ "value": "DAST" }))].into(),
        ..TicketDefaults::of("SEC")
    };
    JiraConfig {
        requests_per_s: 100_000.0,
        timeout: Duration::from_secs(10),
        ..JiraConfig::new(deployment, base.parse().unwrap(), auth, defaults)
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
        way: &[],
        issue_key: None,
    };
    new_issue(&config.defaults, &material, config.deployment).unwrap()
}

/// All that the client can do, also what goes wrong.
async fn scenario(sandbox: &Sandbox, config: &JiraConfig) {
    let jira = Client::new(config).unwrap();
    let me = jira.myself().await.unwrap();
    let expected = if config.deployment == Deployment::Cloud {
        "sandbox"
    } else {
        "phantom@sandbox.test"
    };
    assert_eq!(me.id(), expected);
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

    // Five issues on pages of two, under the label that all of them carry.
    for number in 2..=5 {
        let one = issue(config, &finding(number, "plain"));
        jira.create_issue(jira.permit().await, &one).await.unwrap();
    }
    let mut search = SearchRequest::for_ticket(&config.defaults.search_projects, &first.fingerprint, 1);
    assert_eq!(jira.search(&search).await.unwrap().len(), 1);
    search.jql = String::from("project = SEC AND labels = phantom-gang ORDER BY created DESC");
    search.max_results = 2;
    assert_eq!(jira.search(&search).await.unwrap().len(), 5);

    talk(&jira, &created.id, &first).await;
    follow(sandbox, &jira, &created.key).await;
    set_up(&jira).await;
    failures(sandbox, config, &jira, &created.id, search).await;
}

/// What is written onto a ticket and read of it.
async fn talk(jira: &Client, id: &str, first: &Finding) {
    let hostile = hostile(first);
    let said = jira.add_comment(jira.permit().await, id, &hostile).await.unwrap();
    let comments = jira.comments(id).await.unwrap();
    assert_eq!(comments, [said]);
    assert!(comments[0].text.contains("[~admin] <script>"), "{}", comments[0].text);
    assert_eq!(comments[0].author.name, "Phantom Gang (sandbox)");

    let before = jira.issue(id).await.unwrap().fields;
    let edit = IssueEdit {
        summary: Some("Another line".to_owned()),
        description: Some(Description::spliced(
            before.description.as_ref(),
            &hostile,
            jira.deployment(),
        )),
    };
    jira.edit_issue(jira.permit().await, id, &edit).await.unwrap();
    let upload = Upload {
        name: "page \"1\"-ä.png".to_owned(),
        mime: "image/png".to_owned(),
        bytes: b"\x89PNG\r\n--x\r\n".to_vec(),
    };
    jira.attach(jira.permit().await, id, &upload).await.unwrap();
    let link = IssueLinkRequest {
        kind: "Duplicate".to_owned(),
        inward: id.to_owned(),
        outward: "SEC-2".to_owned(),
    };
    jira.link_issues(jira.permit().await, &link).await.unwrap();
    let after = jira.issue(id).await.unwrap().fields;
    assert_eq!(
        (after.summary.as_str(), after.project.as_str()),
        ("Another line", "SEC")
    );
    assert_eq!(after.labels, before.labels);
    assert_eq!(after.attachments.len(), 1);
    assert_eq!(
        (after.links[0].key.as_str(), after.links[0].direction),
        ("SEC-2", LinkDirection::Outward)
    );
    let other = jira.issue("SEC-2").await.unwrap().fields;
    assert_eq!(
        (other.links[0].id.as_str(), other.links[0].direction),
        (id, LinkDirection::Inward)
    );
}

/// A ticket from open to done and back, by us and by a person.
async fn follow(sandbox: &Sandbox, jira: &Client, key: &str) {
    assert_eq!(jira.resolved_by(key).await.unwrap(), None);
    let open = jira.transitions(key).await.unwrap();
    let done = open.iter().find(|one| one.to.is_done()).unwrap();
    assert!(
        done.fields["resolution"]
            .allowed
            .contains(&"Cannot Reproduce".to_owned())
    );
    let request = TransitionRequest {
        id: done.id.clone(),
        resolution: Some("Cannot Reproduce".to_owned()),
    };
    jira.transition(jira.permit().await, key, &request).await.unwrap();
    let ours = jira.resolved_by(key).await.unwrap().unwrap();
    assert!(ours.mine, "{ours:?}");
    let read = jira.issue(key).await.unwrap().fields;
    assert_eq!(read.resolution.map(|one| one.name).as_deref(), Some("Cannot Reproduce"));
    assert!(read.resolution_date.is_some());

    let again = jira.transition(jira.permit().await, key, &request).await;
    assert!(matches!(again, Err(Failure::Rejected { .. })), "{again:?}");
    let person = sandbox.person();
    assert!(person.reopen(key) && person.close(key, Some("Won't Do")));
    let theirs = jira.resolved_by(key).await.unwrap().unwrap();
    assert!(!theirs.mine && theirs.who.name == "Ann Triager", "{theirs:?}");
    let moved = person.relocate(key, "WEB").unwrap();
    let read = jira.issue(key).await.unwrap();
    assert_eq!((read.key, read.fields.project.as_str()), (moved, "WEB"));
    assert!(person.delete("SEC-5"));
    assert!(matches!(jira.issue("SEC-5").await, Err(Failure::NotFound { .. })));
}

/// What a configuration is checked against.
async fn set_up(jira: &Client) {
    let held = jira.permissions("SEC").await.unwrap();
    assert!(PERMISSIONS.iter().all(|one| held.contains_key(*one)), "{held:?}");
    assert!(held["CREATE_ISSUES"]);
    assert_eq!(jira.project("SEC").await.unwrap().key, "SEC");
    assert!(matches!(jira.project("NO").await, Err(Failure::NotFound { .. })));
    let fields = jira.create_fields("SEC", "Bug").await.unwrap();
    let summary = fields.iter().find(|field| field.id == "summary").unwrap();
    assert!(summary.required && !summary.has_default);
    let priority = fields.iter().find(|field| field.id == "priority").unwrap();
    assert!(priority.has_default && priority.allowed.contains(&"Highest".to_owned()));
    let no_type = jira.create_fields("SEC", "Saga").await;
    assert!(matches!(no_type, Err(Failure::NotFound { .. })));
    assert_eq!(jira.priorities().await.unwrap().len(), 5);
    assert!(
        jira.resolutions()
            .await
            .unwrap()
            .iter()
            .any(|one| one.name == "Duplicate")
    );
    assert!(
        jira.link_types()
            .await
            .unwrap()
            .iter()
            .any(|one| one.outward == "duplicates")
    );
    assert_eq!(
        jira.statuses()
            .await
            .unwrap()
            .iter()
            .filter(|one| one.is_done())
            .count(),
        1
    );
}

fn hostile(finding: &Finding) -> Document {
    let material = Material {
        finding,
        generation: 1,
        pages: &[],
        page_count: 0,
        site: None,
        docs: None,
        way: &[],
        issue_key: None,
    };
    compose(&material).description
}

async fn failures(sandbox: &Sandbox, config: &JiraConfig, jira: &Client, id: &str, mut search: SearchRequest) {
    search.jql = String::from("status = Done");
    assert!(matches!(jira.search(&search).await, Err(Failure::Rejected { .. })));
    assert!(matches!(jira.issue("99").await, Err(Failure::NotFound { .. })));
    let mut bad = issue(config, &finding(6, ""));
    bad.fields.labels.push("a b".to_owned());
    let refused = jira.create_issue(jira.permit().await, &bad).await;
    assert!(matches!(refused, Err(Failure::Rejected { rejection, .. }) if rejection.fields.contains_key("labels")));
    let twice = TransitionRequest {
        id: "99".to_owned(),
        resolution: None,
    };
    let refused = jira.transition(jira.permit().await, id, &twice).await;
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
    // On Data Center the property is a second request, which an answer that got lost has prevented.
    let stamped = (config.deployment == Deployment::Cloud).then_some(1);
    let found = jira
        .find(&config.defaults.search_projects, &finding(7, "").fingerprint, 1)
        .await;
    let found = found.unwrap();
    assert_eq!(
        (found.len(), found[0].stamp().map(|stamp| stamp.generation)),
        (1, stamped)
    );
    sandbox.set_faults(Faults {
        drop_changes: 1,
        ..faults
    });
    let unsure = jira
        .add_comment(jira.permit().await, id, &hostile(&finding(8, HOSTILE)))
        .await;
    assert!(matches!(unsure, Err(Failure::Uncertain { .. })), "{unsure:?}");
    assert_eq!(jira.comments(id).await.unwrap().len(), 2);
}

/// What our client does not send, but the sandbox answers.
async fn beyond(sandbox: &Sandbox, deployment: Deployment) {
    let client = plain_client();
    let options = SandboxOptions::default();
    let version = if deployment == Deployment::Cloud { 3 } else { 2 };
    let issue = format!("{}/rest/api/{version}/issue/SEC-2", sandbox.base_url());
    let with = |request: reqwest::RequestBuilder| request.basic_auth(&options.user, Some(&options.token)).send();
    for url in [
        format!("{issue}/comment"),
        format!("{issue}/transitions"),
        format!("{issue}?fields=*all&properties=*all&expand=changelog"),
        issue.clone(),
    ] {
        assert_eq!(with(client.get(url)).await.unwrap().status(), 200);
    }
    let elsewhere = json!({ "globalId": "phantom=1", "object": { "url": "https://x.test/", "title": "Report" } });
    for status in [201, 200] {
        let sent = with(client.post(format!("{issue}/remotelink")).json(&elsewhere));
        assert_eq!(sent.await.unwrap().status(), status);
    }
    assert_eq!(
        with(client.get(format!("{issue}/remotelink"))).await.unwrap().status(),
        200
    );
    let label = json!({ "update": { "labels": [{ "add": "phantom-ignore" }] } });
    assert_eq!(with(client.put(&issue).json(&label)).await.unwrap().status(), 204);
    assert_eq!(with(client.delete(&issue)).await.unwrap().status(), 204);
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

/// Drives a sandbox and validates all that was said. Returns the log.
async fn validated(folder: &std::path::Path, deployment: Deployment) -> Vec<Exchange> {
    let token = tempfile::NamedTempFile::new().unwrap();
    let options = SandboxOptions {
        deployment,
        projects: vec!["SEC".to_owned(), "WEB".to_owned()],
        custom_fields: vec!["customfield_10010".to_owned()],
        ..SandboxOptions::default()
    };
    std::fs::write(token.path(), &options.token).unwrap();
    let sandbox = Sandbox::start(options).await.unwrap();
    scenario(&sandbox, &config(sandbox.base_url(), token.path(), deployment)).await;
    beyond(&sandbox, deployment).await;

    let log = sandbox.log();
    let mut contract = Contract::read(folder, deployment);
    let validated: usize = log.iter().map(|one| contract.exchange(one)).sum();
    assert!(
        validated > 60,
        "only {validated} bodies of {} exchanges were validated",
        log.len()
    );
    log
}

#[tokio::test]
async fn requests_and_responses_are_as_atlassian_describes_them_for_cloud() {
    let Some(folder) = folder() else { return };
    let log = validated(&folder, Deployment::Cloud).await;
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

#[tokio::test]
async fn requests_and_responses_are_as_atlassian_describes_them_for_data_center() {
    let Some(folder) = folder() else { return };
    let log = validated(&folder, Deployment::DataCenter).await;
    let texts: Vec<&str> = log
        .iter()
        .filter_map(|one| one.body.as_ref())
        .flat_map(|body| [&body["fields"]["description"], &body["body"]])
        .filter_map(Value::as_str)
        .collect();
    assert!(texts.len() > 5, "only {} texts", texts.len());
    for text in texts {
        // In code blocks everything but their end is text, and an escaped brace begins no macro.
        let outside: String = text.split("{noformat}").step_by(2).collect();
        let outside = outside.replace("\\{", "");
        for markup in ["[~", "{code", "javascript:", "@admin"] {
            assert!(!outside.contains(markup), "{markup} in {text}");
        }
        assert!(!text.contains('\u{202e}'), "{text}");
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
