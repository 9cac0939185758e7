//! What is said about an issue and hung onto it: comments, files, links.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::{Answer, Desk, Handled, PageQuery, page_of, parse, query};
use super::fields::{Refusal, text_problem, time};
use super::multipart;
use super::state::{SandboxAttachment, SandboxComment, SandboxItem, SandboxLink};

/// The types of links between issues: name, how it reads from where it leads to, how from where it comes.
const LINK_TYPES: [(&str, &str, &str); 4] = [
    ("Blocks", "is blocked by", "blocks"),
    ("Cloners", "is cloned by", "clones"),
    ("Duplicate", "is duplicated by", "duplicates"),
    ("Relates", "relates to", "relates to"),
];

impl Desk<'_> {
    pub fn add_comment(&mut self, id: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            body: Value,
        }
        self.need("ADD_COMMENTS")?;
        let Body { body } = parse(body)?;
        let problem = if body.is_null() || body == "" {
            Some("Comment body can not be empty!".to_owned())
        } else {
            text_problem(&body, self.options.deployment)
        };
        if let Some(problem) = problem {
            let mut refusal = Refusal::default();
            refusal.field("comment", problem);
            return Err(Answer::refused(StatusCode::BAD_REQUEST, &refusal));
        }
        self.issue(id)?;
        let comment = SandboxComment {
            id: self.state.kept.next_id(),
            body,
            author: self.who.id.clone(),
            created: self.now,
        };
        let shown = self.show_comment(self.issue(id)?.id, &comment);
        self.issue_mut(id)?.comments.push(comment);
        self.record(id, Vec::new())?;
        Ok(Answer::changed(StatusCode::CREATED, Some(shown)))
    }

    pub fn comments(&mut self, id: &str, text: &str) -> Handled {
        let page: PageQuery = query(text)?;
        let issue = self.issue(id)?;
        let comments: Vec<Value> = issue
            .comments
            .iter()
            .map(|one| self.show_comment(issue.id, one))
            .collect();
        Ok(Answer::ok(page_of(&page, "comments", &comments)))
    }

    fn show_comment(&self, issue: u64, comment: &SandboxComment) -> Value {
        let author = self.user(&comment.author);
        let mut shown = json!({
            "self": self.link(&format!("issue/{issue}/comment/{}", comment.id)),
            "id": comment.id.to_string(),
            "author": author.clone(),
            "updateAuthor": author,
            "body": comment.body,
            "created": time(comment.created),
            "updated": time(comment.created),
        });
        if self.is_cloud() {
            shown["jsdPublic"] = json!(true);
        }
        shown
    }

    pub fn attach(&mut self, id: &str, content_type: &str, body: &[u8]) -> Handled {
        self.need("CREATE_ATTACHMENTS")?;
        let Some(files) = multipart::files(content_type, body) else {
            return Err(Answer::bad("This is no form with a field 'file'."));
        };
        self.issue(id)?;
        let mut shown = Vec::new();
        let mut items = Vec::new();
        for file in files {
            let attachment = SandboxAttachment {
                id: self.state.kept.next_id(),
                name: file.name,
                mime: file.mime,
                size: file.bytes.len(),
                sha256: hex::encode(Sha256::digest(file.bytes)),
                author: self.who.id.clone(),
                created: self.now,
            };
            shown.push(self.attachment(&attachment));
            items.push(SandboxItem {
                field: "Attachment".to_owned(),
                from: (None, None),
                to: (Some(attachment.id.to_string()), Some(attachment.name.clone())),
            });
            self.issue_mut(id)?.attachments.push(attachment);
        }
        self.record(id, items)?;
        Ok(Answer::changed(StatusCode::OK, Some(json!(shown))))
    }

    pub fn link_types(&self) -> Answer {
        let types: Vec<Value> = self.known_links().map(|name| self.link_type(name)).collect();
        Answer::ok(json!({ "issueLinkTypes": types }))
    }

    fn known_links(&self) -> impl Iterator<Item = &'static str> {
        let known = &self.options.link_types;
        LINK_TYPES
            .iter()
            .map(|one| one.0)
            .filter(|name| known.iter().any(|one| one == name))
    }

    pub fn link_type(&self, name: &str) -> Value {
        let place = LINK_TYPES.iter().position(|one| one.0 == name);
        let (name, inward, outward) = place
            .and_then(|at| LINK_TYPES.get(at).copied())
            .unwrap_or((name, "", ""));
        let id = (10_000 + place.unwrap_or(999)).to_string();
        json!({
            "self": self.link(&format!("issueLinkType/{id}")),
            "id": id, "name": name, "inward": inward, "outward": outward,
        })
    }

    pub fn add_link(&mut self, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Body {
            #[serde(rename = "type")]
            kind: ByName,
            inward_issue: End,
            outward_issue: End,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ByName {
            name: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum End {
            Id(String),
            Key(String),
        }
        self.need("LINK_ISSUES")?;
        let body: Body = parse(body)?;
        if !self.known_links().any(|name| name == body.kind.name) {
            let message = format!("No issue link type with name '{}' found.", body.kind.name);
            return Err(Answer::error(StatusCode::NOT_FOUND, &message));
        }
        let (End::Id(from) | End::Key(from)) = body.inward_issue;
        let (End::Id(to) | End::Key(to)) = body.outward_issue;
        let (from, to) = (self.issue(&from)?.id, self.issue(&to)?.id);
        if from == to {
            return Err(Answer::bad("You cannot link an issue to itself."));
        }
        let same = |link: &SandboxLink| link.kind == body.kind.name && link.from == from && link.to == to;
        if !self.state.kept.links.iter().any(same) {
            let id = self.state.kept.next_id();
            self.state.kept.links.push(SandboxLink {
                id,
                kind: body.kind.name,
                from,
                to,
            });
        }
        Ok(Answer::changed(StatusCode::CREATED, None))
    }

    pub fn remote_links(&mut self, id: &str) -> Handled {
        let issue = self.issue(id)?;
        let shown = issue.remote_links.iter().map(|(link, body)| {
            let mut shown = body.clone();
            shown["id"] = json!(link);
            shown["self"] = json!(self.link(&format!("issue/{}/remotelink/{link}", issue.id)));
            shown
        });
        Ok(Answer::ok(shown.collect()))
    }

    /// A link with the same `globalId` is replaced.
    pub fn add_remote_link(&mut self, id: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Body {
            #[serde(default)]
            global_id: Option<String>,
            #[serde(default)]
            relationship: Option<String>,
            object: Object,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            url: String,
            title: String,
        }
        self.need("LINK_ISSUES")?;
        let Body {
            global_id,
            relationship,
            object,
        } = parse(body)?;
        let mut kept = json!({ "object": { "url": object.url, "title": object.title } });
        for (key, value) in [("globalId", &global_id), ("relationship", &relationship)] {
            if let Some(value) = value {
                kept[key] = json!(value);
            }
        }
        self.issue(id)?;
        let fresh = self.state.kept.next_id();
        let issue = self.issue_mut(id)?;
        let known = |one: &&mut (u64, Value)| global_id.as_deref().is_some_and(|global| one.1["globalId"] == global);
        let (status, number) = if let Some(one) = issue.remote_links.iter_mut().find(known) {
            one.1 = kept;
            (StatusCode::OK, one.0)
        } else {
            issue.remote_links.push((fresh, kept));
            (StatusCode::CREATED, fresh)
        };
        let issue = issue.id;
        self.record(id, Vec::new())?;
        let address = self.link(&format!("issue/{issue}/remotelink/{number}"));
        let shown = json!({ "id": number, "self": address });
        Ok(Answer::changed(status, Some(shown)))
    }
}
