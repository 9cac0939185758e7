//! An issue as it is read, of both deployments: lenient, since the peer may be newer than we are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::wire::Stamp;

/// What cannot be read is as if it were not there: no field of an issue is worth losing the issue for.
pub(super) fn lenient<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads a time as Jira writes it: `2026-11-23T05:19:43.000+0000`.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The answer to a create.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreatedIssue {
    /// Outlives moves between projects.
    pub id: String,
    /// What people call it.
    pub key: String,
}

/// A page of a search, of either deployment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchPage {
    /// The issues.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// Where the next page begins, on Cloud; absent on the last.
    #[serde(default)]
    pub next_page_token: Option<String>,
    /// How many there are in all, on Data Center.
    #[serde(default)]
    pub total: Option<u64>,
}

/// An issue as read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Issue {
    /// Outlives moves between projects.
    pub id: String,
    /// What people call it.
    pub key: String,
    /// The fields that were asked for.
    #[serde(default)]
    pub fields: IssueFields,
    /// The entity properties that were asked for.
    #[serde(default, deserialize_with = "lenient")]
    pub properties: BTreeMap<String, Value>,
}

impl Issue {
    /// Our stamp, if the issue carries one that can be read.
    pub fn stamp(&self) -> Option<Stamp> {
        // Data Center describes its properties as one level deeper than Cloud's.
        let value = self
            .properties
            .get(super::PROPERTY)
            .or_else(|| self.properties.get("properties")?.get(super::PROPERTY))?;
        serde_json::from_value(value.clone()).ok()
    }
}

/// The fields of an issue that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IssueFields {
    /// Its one line.
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    /// Its description, as this deployment writes it; `None` if it is empty.
    #[serde(deserialize_with = "lenient")]
    pub description: Option<Value>,
    /// Where it stands.
    #[serde(deserialize_with = "lenient")]
    pub status: Option<Status>,
    /// How it ended.
    #[serde(deserialize_with = "lenient")]
    pub resolution: Option<Named>,
    /// When it ended, as Jira writes it.
    #[serde(rename = "resolutiondate", deserialize_with = "lenient")]
    pub resolution_date: Option<String>,
    /// Its labels.
    #[serde(deserialize_with = "lenient")]
    pub labels: Vec<String>,
    /// When it was created, as Jira writes it: `2026-11-23T05:19:43.000+0000`.
    #[serde(deserialize_with = "lenient")]
    pub created: Option<String>,
    /// When it was changed last, as Jira writes it.
    #[serde(deserialize_with = "lenient")]
    pub updated: Option<String>,
    /// The names of the files that are attached to it.
    #[serde(rename = "attachment", deserialize_with = "attachment_names")]
    pub attachments: Vec<String>,
    /// Its links to other issues.
    #[serde(rename = "issuelinks", deserialize_with = "links")]
    pub links: Vec<IssueLink>,
    /// The key of the project in which it is now.
    #[serde(deserialize_with = "key")]
    pub project: String,
}

fn attachment_names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct One {
        filename: String,
    }
    let all: Vec<One> = lenient(from)?;
    Ok(all.into_iter().map(|one| one.filename).collect())
}

fn key<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Default, Deserialize)]
    struct Keyed {
        key: String,
    }
    let keyed: Keyed = lenient(from)?;
    Ok(keyed.key)
}

/// A status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Its id.
    #[serde(deserialize_with = "lenient")]
    pub id: String,
    /// Its name, which administrators choose.
    pub name: String,
    /// What it means.
    pub status_category: Option<Category>,
}

impl Status {
    /// Its category is `done`.
    pub fn is_done(&self) -> bool {
        self.status_category.as_ref().is_some_and(|one| one.key == "done")
    }
}

/// The category of a status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Category {
    /// `new`, `indeterminate` or `done`, in every language.
    #[serde(default)]
    pub key: String,
}

/// Something that has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// A link from an issue to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueLink {
    /// The name of its type: `Duplicate`.
    pub kind: String,
    /// Which end this issue is.
    pub direction: LinkDirection,
    /// The other issue's key.
    pub key: String,
    /// The other issue's id.
    pub id: String,
    /// Where the other issue stands, if Jira says so.
    pub status: Option<Status>,
}

/// Which way a link is to be read on the issue that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDirection {
    /// From this issue to the other one: this one *duplicates* the other.
    Outward,
    /// From the other one to this: this one *is duplicated by* the other.
    Inward,
}

fn links<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IssueLink>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        #[serde(rename = "type")]
        kind: Named,
        inward_issue: Option<End>,
        outward_issue: Option<End>,
    }
    #[derive(Deserialize)]
    struct End {
        id: String,
        key: String,
        #[serde(default)]
        fields: EndFields,
    }
    #[derive(Default, Deserialize)]
    struct EndFields {
        #[serde(default)]
        status: Option<Status>,
    }
    let raw: Vec<Raw> = lenient(from)?;
    let ends = raw.into_iter().filter_map(|link| {
        let (direction, end) = match (link.outward_issue, link.inward_issue) {
            (Some(end), _) => (LinkDirection::Outward, end),
            (None, Some(end)) => (LinkDirection::Inward, end),
            (None, None) => return None,
        };
        Some(IssueLink {
            kind: link.kind.name,
            direction,
            key: end.key,
            id: end.id,
            status: end.fields.status,
        })
    });
    Ok(ends.collect())
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The account id (Cloud) or the user name (Data Center); empty if Jira does not say.
    pub id: String,
    /// What people call them; the id if Jira does not say.
    pub name: String,
}

impl<'de> Deserialize<'de> for Person {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let user: Myself = lenient(from)?;
        let id = user.id().to_owned();
        let name = if user.display_name.is_empty() {
            id.clone()
        } else {
            user.display_name
        };
        Ok(Self { id, name })
    }
}

/// Who we are in Jira.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Myself {
    /// The account, on Cloud.
    pub account_id: String,
    /// The user name, on Data Center.
    pub name: String,
    /// The key of the user, on Data Center.
    pub key: String,
    /// What people call it.
    pub display_name: String,
}

impl Myself {
    /// What tells this account from all others: account id, else name, else key.
    pub fn id(&self) -> &str {
        [&self.account_id, &self.name, &self.key]
            .into_iter()
            .find(|id| !id.is_empty())
            .map_or("", String::as_str)
    }
}

/// A comment as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: String,
    /// What it says, without markup.
    pub text: String,
    /// Who wrote it.
    pub author: Person,
    /// When, as Jira writes it.
    pub created: Option<String>,
}

/// A comment before its text is known to be an Atlassian document or wiki markup.
#[derive(Debug, Deserialize)]
pub(super) struct RawComment {
    pub id: String,
    #[serde(default)]
    pub body: Value,
    #[serde(default)]
    pub author: Person,
    #[serde(default, deserialize_with = "lenient")]
    pub created: Option<String>,
}

impl From<RawComment> for Comment {
    fn from(raw: RawComment) -> Self {
        Self {
            text: match &raw.body {
                Value::String(wiki) => super::wiki::plain(wiki),
                document => super::adf::plain(document),
            },
            id: raw.id,
            author: raw.author,
            created: raw.created,
        }
    }
}

/// A change of status that an issue can make now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Transition {
    /// Its id, which holds for the issue's workflow only.
    pub id: String,
    /// Its name, which administrators choose.
    #[serde(default)]
    pub name: String,
    /// Where it leads.
    #[serde(default)]
    pub to: Status,
    /// What its screen asks for, by field id; empty if it has none.
    #[serde(default, deserialize_with = "lenient")]
    pub fields: BTreeMap<String, TransitionField>,
}

/// A field on the screen of a transition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransitionField {
    /// It must be filled.
    pub required: bool,
    /// It is filled by Jira if it is not there.
    #[serde(rename = "hasDefaultValue")]
    pub has_default: bool,
    /// The names of the values that it takes; empty if it takes any.
    #[serde(rename = "allowedValues", deserialize_with = "names")]
    pub allowed: Vec<String>,
}

/// The names of values, whatever holds them.
pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let values: Vec<Value> = lenient(from)?;
    let name = |value: &Value| {
        let name = ["name", "value", "key"].iter().find_map(|&key| value[key].as_str());
        name.or_else(|| value.as_str()).map(str::to_owned)
    };
    Ok(values.iter().filter_map(name).collect())
}

/// Who brought an issue to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// The user.
    pub who: Person,
    /// When.
    pub when: Timestamp,
    /// It was us.
    pub mine: bool,
}

/// One entry of an issue's history.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    pub author: Person,
    #[serde(default)]
    pub created: String,
    #[serde(default, deserialize_with = "lenient")]
    pub items: Vec<ChangeItem>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChangeItem {
    pub field: String,
    #[serde(deserialize_with = "lenient")]
    pub from: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub to: Option<String>,
}

/// The last change into done, by `done`: is this status id one of those? A workflow may keep no resolutions, and a
/// status may be gone by now, so both are looked at.
pub(super) fn resolver(changes: &[Change], me: &str, done: impl Fn(&str) -> bool) -> Option<Resolver> {
    let into_done = |item: &ChangeItem| {
        let (from, to) = (item.from.as_deref(), item.to.as_deref());
        match item.field.as_str() {
            "status" => to.is_some_and(&done) && !from.is_some_and(&done),
            "resolution" => to.is_some_and(|to| !to.is_empty()) && from.is_none_or(str::is_empty),
            _ => false,
        }
    };
    changes
        .iter()
        .filter(|change| change.items.iter().any(into_done))
        .filter_map(|change| Some((time(&change.created)?, change)))
        .max_by_key(|(when, _)| *when)
        .map(|(when, change)| Resolver {
            mine: !me.is_empty() && change.author.id == me,
            who: change.author.clone(),
            when,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_issue_of_either_deployment_is_read() {
        let status = json!({ "id": "3", "name": "Fertig", "statusCategory": { "key": "done" } });
        let fields = json!({
            "summary": "s", "description": "wiki", "status": status, "resolution": { "name": "Done" },
            "resolutiondate": "2026-11-23T05:19:43.000+0000", "labels": ["a"], "project": { "key": "WEB" },
            "attachment": [{ "filename": "a.png", "id": "1" }],
            "issuelinks": [
                { "type": { "name": "Duplicate" }, "outwardIssue": { "id": "2", "key": "SEC-2", "fields": { "status": status } } },
                { "type": { "name": "Relates" }, "inwardIssue": { "id": "3", "key": "SEC-3" } },
                { "type": { "name": "Broken" } },
            ],
        });
        let stamp = json!({ "fingerprint": "f", "generation": 2 });
        for properties in [
            json!({ super::super::PROPERTY: stamp }),
            json!({ "properties": { super::super::PROPERTY: stamp } }),
        ] {
            let issue: Issue = serde_json::from_value(
                json!({ "id": "1", "key": "WEB-9", "fields": fields, "properties": properties }),
            )
            .unwrap();
            assert_eq!(issue.stamp().map(|stamp| stamp.generation), Some(2));
            let read = issue.fields;
            assert_eq!(
                (read.project.as_str(), &*read.attachments),
                ("WEB", &["a.png".to_owned()][..])
            );
            let seen: Vec<_> = read
                .links
                .iter()
                .map(|link| (link.direction, link.key.as_str()))
                .collect();
            assert_eq!(
                seen,
                [(LinkDirection::Outward, "SEC-2"), (LinkDirection::Inward, "SEC-3")]
            );
            assert!(read.links[0].status.as_ref().is_some_and(Status::is_done));
        }
    }

    #[test]
    fn odd_fields_do_not_lose_the_issue() {
        let odd = json!({
            "summary": 1, "description": null, "status": "open", "labels": null, "attachment": {}, "issuelinks": [1],
            "project": null, "resolution": "x", "created": 7,
        });
        let issue: Issue =
            serde_json::from_value(json!({ "id": "1", "key": "A-1", "fields": odd, "properties": [] })).unwrap();
        assert_eq!(issue.fields, IssueFields::default());
    }

    #[test]
    fn who_resolved_it_last_is_found_by_status_or_resolution() {
        let change = |who: &str, hour: u32, items: Value| -> Change {
            serde_json::from_value(json!({
                "author": { "accountId": who, "displayName": who.to_uppercase() },
                "created": format!("2026-11-23T{hour:02}:00:00.000+0000"), "items": items,
            }))
            .unwrap()
        };
        let status = |from: &str, to: &str| json!([{ "field": "status", "from": from, "to": to }]);
        let done = |id: &str| id == "3" || id == "4";
        let resolved = |changes: &[Change]| {
            resolver(changes, "me", done).map(|one| (one.who.id, one.when.to_string()[11..13].to_owned(), one.mine))
        };
        let found = |who: &str, hour: &str, mine| Some((who.to_owned(), hour.to_owned(), mine));
        for (changes, expected) in [
            (vec![], None),
            (vec![change("ann", 1, status("1", "2"))], None),
            (vec![change("ann", 1, status("1", "3"))], found("ann", "01", false)),
            (
                vec![change("me", 5, status("1", "3")), change("ann", 1, status("1", "3"))],
                found("me", "05", true),
            ),
            // From done to done resolves nothing.
            (
                vec![change("me", 1, status("1", "3")), change("ann", 2, status("3", "4"))],
                found("me", "01", true),
            ),
            (
                vec![change(
                    "ann",
                    1,
                    json!([{ "field": "resolution", "from": null, "to": "10" }]),
                )],
                found("ann", "01", false),
            ),
            (
                vec![change(
                    "ann",
                    1,
                    json!([{ "field": "resolution", "from": "10", "to": null }]),
                )],
                None,
            ),
        ] {
            assert_eq!(resolved(&changes), expected, "{changes:?}");
        }
    }
}
