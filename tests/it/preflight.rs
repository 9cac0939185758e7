//! `phantom tickets check`: whatever would fail later is told by one run, before anything was filed.

use phantom_gang::config::Deployment;
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{command, end_of};

const BOTH: [Deployment; 2] = [Deployment::Cloud, Deployment::DataCenter];

struct Desk {
    sandbox: Sandbox,
    deployment: Deployment,
    required: Vec<String>,
    folder: TempDir,
}

impl Desk {
    async fn new(deployment: Deployment, change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let mut options = SandboxOptions {
            deployment,
            projects: vec!["SEC".to_owned(), "WEB".to_owned()],
            ..SandboxOptions::default()
        };
        change(&mut options);
        let required = options.required_fields.clone();
        Self {
            required,
            sandbox: Sandbox::start(options).await.unwrap(),
            deployment,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A ticket of ours, as an earlier run or a person would have left it.
    fn file(&self, project: &str) {
        let text = match self.deployment {
            Deployment::Cloud => json!({ "type": "doc", "version": 1, "content": [] }),
            Deployment::DataCenter => json!("text"),
        };
        let mut fields = json!({
            "project": { "key": project }, "issuetype": { "name": "Bug" }, "summary": "s", "description": text,
            "labels": ["phantom-gang"],
        });
        for id in &self.required {
            fields[id] = json!("x");
        }
        assert!(self.sandbox.person().file(&fields));
    }

    /// Exit code and what was found: what, verdict, words.
    async fn check(&self, token: &str, defaults: &str, more: &str) -> (i32, Vec<(String, String, String)>) {
        let deployment = match self.deployment {
            Deployment::Cloud => "cloud",
            Deployment::DataCenter => "datacenter",
        };
        let user = match self.deployment {
            Deployment::Cloud => "email",
            Deployment::DataCenter => "user",
        };
        let settings = format!(
            "[jira]\ndeployment = \"{deployment}\"\nbase_url = \"{}\"\nrequests_per_s = 100\n\
             auth = {{ kind = \"basic\", {user} = \"phantom@sandbox.test\", token_env = \"CHECK_TOKEN\" }}\n\
             [jira.defaults]\n{defaults}\n{more}\n",
            self.sandbox.base_url()
        );
        std::fs::write(self.folder.path().join("phantom.toml"), &settings).unwrap();
        let before = self.sandbox.issues();
        let child = command(self.folder.path(), &["tickets", "check", "--json"])
            .env("CHECK_TOKEN", token)
            .spawn()
            .unwrap();
        let ran = end_of(child).await;
        assert_eq!(self.sandbox.issues(), before, "it changes nothing");
        let rows: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:#?}\n{settings}"));
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = rows.as_array().unwrap().iter();
        let rows = rows.map(|row| (text(row, "what"), text(row, "verdict"), text(row, "says")));
        (ran.code.unwrap(), rows.collect())
    }
}

/// Each of these was told, with this verdict and these words.
fn assert_told(rows: &[(String, String, String)], expected: &[(&str, &str, &str)]) {
    for (what, verdict, words) in expected {
        let told = rows
            .iter()
            .any(|(is, how, says)| is == what && how == verdict && says.contains(words));
        assert!(told, "{what}, {verdict}, {words} is not in {rows:#?}");
    }
    let bad = |verdict: &str| verdict == "bad";
    assert_eq!(
        rows.iter().filter(|row| bad(&row.1)).count(),
        expected.iter().filter(|row| bad(row.1)).count(),
        "{rows:#?}"
    );
}

#[tokio::test]
async fn a_good_configuration_passes() {
    for deployment in BOTH {
        let desk = Desk::new(deployment, |_| {}).await;
        let defaults = "project = \"SEC\"\nissue_type = \"Bug\"\npriority = { high = \"High\" }";
        let resolve = "[jira.lifecycle]\nresolve = \"transition\"";
        let (code, rows) = desk.check("sandbox", defaults, resolve).await;
        assert_eq!(code, 0, "{rows:#?}");
        assert_told(
            &rows,
            &[
                ("account", "good", "Phantom Gang"),
                ("SEC: transition into done", "unknown", "no open one is there"),
                ("SEC: transition out of done", "unknown", "no closed one is there"),
            ],
        );
        desk.file("SEC");
        desk.file("SEC");
        assert!(desk.sandbox.person().close("SEC-2", Some("Done")));
        let (code, rows) = desk.check("sandbox", defaults, resolve).await;
        assert_eq!(code, 0, "{rows:#?}");
        assert!(rows.iter().all(|row| row.1 == "good"), "{rows:#?}");
    }
}

#[tokio::test]
async fn one_run_tells_all_that_would_fail() {
    for deployment in BOTH {
        let desk = Desk::new(deployment, |options| {
            options.denied = vec!["ADD_COMMENTS".to_owned(), "LINK_ISSUES".to_owned()];
            options.required_fields = vec!["customfield_7".to_owned()];
            options.link_types = vec!["Blocks".to_owned()];
        })
        .await;
        desk.file("SEC");
        let defaults = "project = \"SEC\"\nissue_type = \"Bug\"\npriority = { high = \"Urgent\" }\n\
                        search_projects = [\"SEC\", \"OLD\"]\nparent = \"SEC-99\"";
        let more = "[jira.lifecycle]\nresolve = \"transition\"\nresolve_transitions = [\"Ship it\"]\n\
                    resolve_resolution = \"Shipped\"\n\
                    [[jira.route]]\nsites = [\"a\"]\nproject = \"NOPE\"\n\
                    [[jira.route]]\nsites = [\"b\"]\nproject = \"WEB\"\nissue_type = \"Incident\"\n\
                    [[jira.route]]\nsites = [\"c\"]\nsecurity_level = \"Secret\"";
        let (code, rows) = desk.check("sandbox", defaults, more).await;
        assert_eq!(code, 2);
        let resolution = match deployment {
            Deployment::Cloud => ("SEC: transition into done", "doubtful", "correct `resolve_transitions`"),
            Deployment::DataCenter => (
                "SEC: transition into done",
                "bad",
                "does not take the resolution \"Shipped\"",
            ),
        };
        assert_told(
            &rows,
            &[
                ("NOPE: project", "bad", "NOPE"),
                ("OLD: searched", "bad", "search_projects"),
                ("SEC: permissions", "bad", "ADD_COMMENTS, LINK_ISSUES"),
                ("WEB: permissions", "bad", "ADD_COMMENTS, LINK_ISSUES"),
                ("SEC: issue type \"Bug\": fields", "bad", "set customfield_7"),
                (
                    "SEC: issue type \"Bug\": fields",
                    "bad",
                    "priority does not take Urgent",
                ),
                ("SEC: issue type \"Bug\": parent SEC-99", "bad", "SEC-99"),
                ("WEB: issue type \"Incident\"", "bad", "there are Bug, Task, Story"),
                resolution,
                ("priorities", "bad", "Jira has no Urgent"),
                ("resolutions", "bad", "Jira has no Shipped"),
                ("link types", "bad", "Jira has no Relates"),
            ],
        );
    }
}

#[tokio::test]
async fn who_may_not_move_tickets_is_told() {
    for deployment in BOTH {
        let desk = Desk::new(deployment, |options| {
            options.denied = vec!["TRANSITION_ISSUES".to_owned()];
        })
        .await;
        desk.file("SEC");
        let defaults = "project = \"SEC\"\nissue_type = \"Bug\"";
        let (code, rows) = desk
            .check("sandbox", defaults, "[jira.lifecycle]\nresolve = \"transition\"")
            .await;
        assert_eq!(code, 2);
        assert_told(
            &rows,
            &[
                ("SEC: permissions", "bad", "TRANSITION_ISSUES"),
                ("SEC: transition into done", "bad", "no transition leads into done"),
            ],
        );
    }
}

#[tokio::test]
async fn bad_credentials_end_it() {
    for deployment in BOTH {
        let desk = Desk::new(deployment, |_| {}).await;
        let defaults = "project = \"SEC\"\nissue_type = \"Bug\"";
        let (code, rows) = desk.check("wrong", defaults, "").await;
        assert_eq!((code, rows.len()), (2, 1), "{rows:#?}");
        assert_told(&rows, &[("account", "bad", "401")]);
    }
}
