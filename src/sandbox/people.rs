//! A person in the sandbox, for tests and shows: does through the same code what people do in Jira's pages.

use serde_json::{Value, json};

use super::api::{Desk, Handled};
use super::options::SandboxAccount;
use super::server::Sandbox;
use super::state::SandboxStatus;

/// Somebody who works in the queue. Each deed says whether Jira let it happen.
pub struct SandboxPerson<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) account: SandboxAccount,
}

impl SandboxPerson<'_> {
    /// Files an issue with these fields, as the API takes them.
    pub fn file(&self, fields: &Value) -> bool {
        self.does(|desk| desk.create(&bytes(&json!({ "fields": fields }))))
    }

    /// Closes an issue; without a resolution it gets the workflow's own.
    pub fn close(&self, key: &str, resolution: Option<&str>) -> bool {
        let mut body = json!({ "transition": { "id": "31" } });
        if let Some(name) = resolution {
            body["fields"] = json!({ "resolution": { "name": name } });
        }
        self.does(|desk| desk.transition(key, &bytes(&body)))
    }

    /// Begins to work on an issue.
    pub fn start(&self, key: &str) -> bool {
        self.does(|desk| desk.transition(key, &bytes(&json!({ "transition": { "id": "21" } }))))
    }

    /// Opens an issue again.
    pub fn reopen(&self, key: &str) -> bool {
        self.does(|desk| desk.transition(key, &bytes(&json!({ "transition": { "id": "11" } }))))
    }

    /// Puts a label onto an issue.
    pub fn label(&self, key: &str, label: &str) -> bool {
        let body = json!({ "update": { "labels": [{ "add": label }] } });
        self.does(|desk| desk.edit(key, "", &bytes(&body)))
    }

    /// Writes a comment: an Atlassian document or wiki markup, as the sandbox's deployment has it.
    pub fn comment(&self, key: &str, text: &str) -> bool {
        self.does(|desk| {
            let body = json!({ "body": written(text, desk.is_cloud()) });
            desk.add_comment(key, &bytes(&body))
        })
    }

    /// Replaces fields of an issue, as the API takes them.
    pub fn edit(&self, key: &str, fields: &Value) -> bool {
        self.does(|desk| desk.edit(key, "", &bytes(&json!({ "fields": fields }))))
    }

    /// Says that one issue is a duplicate of another.
    pub fn duplicate(&self, key: &str, of: &str) -> bool {
        let body = json!({
            "type": { "name": "Duplicate" }, "inwardIssue": { "key": key }, "outwardIssue": { "key": of },
        });
        self.does(|desk| desk.add_link(&bytes(&body)))
    }

    /// Moves an issue into another project, where it gets a new key. Its id stays.
    pub fn relocate(&self, key: &str, project: &str) -> Option<String> {
        self.does(|desk| desk.relocate(key, project))
            .then(|| self.sandbox.issue(key).map(|issue| issue.key))?
    }

    /// Deletes an issue.
    pub fn delete(&self, key: &str) -> bool {
        self.does(|desk| desk.delete(key))
    }

    fn does(&self, deed: impl FnOnce(&mut Desk<'_>) -> Handled) -> bool {
        self.sandbox.as_account(&self.account, deed)
    }
}

impl SandboxStatus {
    /// Is it an end?
    pub fn is_done(self) -> bool {
        self == Self::Done
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

fn written(text: &str, cloud: bool) -> Value {
    if !cloud {
        return json!(text);
    }
    json!({ "type": "doc", "version": 1, "content": [
        { "type": "paragraph", "content": [{ "type": "text", "text": text }] },
    ] })
}
