//! The workflow: what can be done with an issue now, what its screens ask for, and its history.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Answer, Desk, Handled, PageQuery, page_of, parse, query};
use super::fields::{Refusal, time};
use super::options::ResolutionScreen;
use super::state::{SandboxChange, SandboxItem, SandboxStatus};

/// One arrow of the workflow: its id, its names on Cloud and on Data Center, where it leads.
type Arrow = (&'static str, &'static str, &'static str, SandboxStatus);

const REOPEN: Arrow = ("11", "To Do", "Reopen", SandboxStatus::ToDo);
const START: Arrow = ("21", "In Progress", "Start Progress", SandboxStatus::InProgress);
const DONE: Arrow = ("31", "Done", "Resolve", SandboxStatus::Done);

fn arrows(from: SandboxStatus) -> Vec<Arrow> {
    match from {
        SandboxStatus::ToDo => vec![START, DONE],
        SandboxStatus::InProgress => vec![REOPEN, DONE],
        SandboxStatus::Done => vec![REOPEN],
    }
}

impl Desk<'_> {
    pub fn transitions(&mut self, id: &str, text: &str) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Params {
            #[serde(default)]
            expand: String,
        }
        let params: Params = query(text)?;
        let with_fields = params.expand.split(',').any(|one| one == "transitions.fields");
        let from = self.issue(id)?.status;
        // Who may not move it is shown no way.
        let may = self.may("TRANSITION_ISSUES");
        let shown: Vec<Value> = arrows(from)
            .into_iter()
            .filter(|_| may)
            .map(|arrow| self.show_transition(arrow, with_fields))
            .collect();
        Ok(Answer::ok(json!({ "expand": "transitions", "transitions": shown })))
    }

    fn show_transition(&self, (id, cloud, data_center, to): Arrow, with_fields: bool) -> Value {
        let screen = to == SandboxStatus::Done && self.options.resolution_screen() != ResolutionScreen::None;
        let mut shown = json!({ "id": id, "name": data_center, "to": self.status(to) });
        if self.is_cloud() {
            shown = json!({
                "id": id, "name": cloud, "to": self.status(to), "hasScreen": screen, "isGlobal": true,
                "isInitial": false, "isConditional": false, "isAvailable": true, "isLooped": false,
            });
        }
        if with_fields {
            let mut fields = Map::new();
            if screen {
                fields.insert("resolution".to_owned(), self.resolution_field());
            }
            shown["fields"] = Value::Object(fields);
        }
        shown
    }

    fn resolution_field(&self) -> Value {
        let allowed: Vec<Value> = self
            .options
            .resolutions
            .iter()
            .map(|name| self.resolution(name))
            .collect();
        let mut field = json!({
            "required": self.options.resolution_screen() == ResolutionScreen::Required,
            "schema": { "type": "resolution", "system": "resolution" },
            "name": "Resolution", "operations": ["set"], "allowedValues": allowed,
        });
        if self.is_cloud() {
            field["key"] = json!("resolution");
        } else {
            field["fieldId"] = json!("resolution");
        }
        field
    }

    pub fn transition(&mut self, id: &str, body: &[u8]) -> Handled {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            transition: ById,
            #[serde(default)]
            fields: Map<String, Value>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ById {
            id: String,
        }
        self.need("TRANSITION_ISSUES")?;
        let body: Body = parse(body)?;
        let from = self.issue(id)?.status;
        let Some((_, _, _, to)) = arrows(from).into_iter().find(|arrow| arrow.0 == body.transition.id) else {
            let message = format!("The transition '{}' is not valid for this issue.", body.transition.id);
            return Err(Answer::bad(&message));
        };
        let resolution = self
            .given_resolution(to, body.fields)
            .map_err(|refusal| Answer::refused(StatusCode::BAD_REQUEST, &refusal))?;
        let now = self.now;
        let items = self.status_items(from, to, self.issue(id)?.resolution.clone(), resolution.clone());
        let issue = self.issue_mut(id)?;
        issue.status = to;
        issue.resolved = resolution.is_some().then_some(now);
        issue.resolution = resolution;
        self.record(id, items)?;
        Ok(Answer::changed(StatusCode::NO_CONTENT, None))
    }

    /// The resolution that an issue has after a transition.
    fn given_resolution(&self, to: SandboxStatus, mut fields: Map<String, Value>) -> Result<Option<String>, Refusal> {
        let mut refusal = Refusal::default();
        let screen = self.options.resolution_screen();
        let asked = to == SandboxStatus::Done && screen != ResolutionScreen::None;
        let given = if asked { fields.remove("resolution") } else { None };
        let name = given.as_ref().and_then(|value| value["name"].as_str());
        let known = name.filter(|name| self.options.resolutions.iter().any(|one| one == name));
        if given.is_some() && known.is_none() {
            refusal.field("resolution", "The resolution is not valid.");
        } else if asked && given.is_none() && screen == ResolutionScreen::Required {
            refusal.field("resolution", "Resolution is required.");
        }
        for id in fields.keys() {
            refusal.field(
                id,
                format!("Field '{id}' cannot be set. It is not on the appropriate screen, or unknown."),
            );
        }
        if refusal != Refusal::default() {
            return Err(refusal);
        }
        let by_workflow = || self.options.resolutions.first().cloned();
        Ok(match to {
            SandboxStatus::Done => known.map(str::to_owned).or_else(by_workflow),
            SandboxStatus::ToDo | SandboxStatus::InProgress => None,
        })
    }

    fn status_items(
        &self,
        from: SandboxStatus,
        to: SandboxStatus,
        had: Option<String>,
        has: Option<String>,
    ) -> Vec<SandboxItem> {
        let pair = |value: &Value| {
            let part = |key: &str| value[key].as_str().map(str::to_owned);
            (part("id"), part("name"))
        };
        let resolution = |name: Option<String>| name.map_or((None, None), |name| pair(&self.resolution(&name)));
        let mut items = vec![SandboxItem {
            field: "status".to_owned(),
            from: pair(&self.status(from)),
            to: pair(&self.status(to)),
        }];
        if had != has {
            items.push(SandboxItem {
                field: "resolution".to_owned(),
                from: resolution(had),
                to: resolution(has),
            });
        }
        items
    }

    /// Writes what was changed into the history of an issue.
    pub fn record(&mut self, id: &str, items: Vec<SandboxItem>) -> Result<(), Answer> {
        let (now, author) = (self.now, self.who.id.clone());
        let change = SandboxChange {
            id: self.state.kept.next_id(),
            author,
            created: now,
            items,
        };
        let issue = self.issue_mut(id)?;
        issue.updated = now;
        if !change.items.is_empty() {
            issue.history.push(change);
        }
        Ok(())
    }

    pub fn changelog(&mut self, id: &str, text: &str) -> Handled {
        let page: PageQuery = query(text)?;
        let changes = self.changes(id)?;
        Ok(Answer::ok(page_of(&page, "values", &changes)))
    }

    /// The history of an issue as the API shows it, oldest first.
    pub fn changes(&self, id: &str) -> Result<Vec<Value>, Answer> {
        let item = |item: &SandboxItem| {
            let mut shown = json!({ "field": item.field, "fieldtype": "jira" });
            let sides = [("from", &item.from), ("to", &item.to)];
            for (side, (id, name)) in sides {
                for (key, value) in [(side.to_owned(), id), (format!("{side}String"), name)] {
                    if let Some(value) = value {
                        shown[key] = json!(value);
                    }
                }
            }
            shown
        };
        let issue = self.issue(id)?;
        let changes = issue.history.iter().map(|change| {
            let items: Vec<Value> = change.items.iter().map(item).collect();
            json!({
                "id": change.id.to_string(), "author": self.user(&change.author),
                "created": time(change.created), "items": items,
            })
        });
        Ok(changes.collect())
    }

    pub fn statuses(&self) -> Answer {
        let all = [SandboxStatus::ToDo, SandboxStatus::InProgress, SandboxStatus::Done];
        Answer::ok(all.into_iter().map(|one| self.status(one)).collect())
    }
}
