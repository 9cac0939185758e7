//! The preflight: asks Jira, in one go, for all that would fail later.

use serde::Serialize;

use super::perform::{LINK_TYPE, choose};
use super::route::projects_of;
use crate::config::{JiraConfig, Resolve, TicketDefaults};
use crate::jira::{Client, Failure, FieldMeta, SearchRequest};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What.
    pub what: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub says: String,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It could not be looked at.
    Unknown,
    /// It would fail later.
    Bad,
}

struct Preflight<'a> {
    jira: &'a Client,
    config: &'a JiraConfig,
    found: Vec<Checked>,
}

/// Looks at all that filing tickets needs. Changes nothing in Jira.
pub async fn check(jira: &Client, config: &JiraConfig) -> Vec<Checked> {
    let mut preflight = Preflight {
        jira,
        config,
        found: Vec::new(),
    };
    match jira.myself().await {
        Ok(me) => preflight.good("account", format!("Jira knows us as {}", me.display_name)),
        Err(failure) => {
            // Nothing else would be answered as it is answered to us.
            preflight.bad("account", failure.to_string());
            return preflight.found;
        }
    }
    for project in projects_of(config) {
        preflight.project(&project).await;
    }
    preflight.names().await;
    preflight.found
}

impl Preflight<'_> {
    fn good(&mut self, what: impl Into<String>, says: impl Into<String>) {
        self.say(Verdict::Good, what, says);
    }

    fn bad(&mut self, what: impl Into<String>, says: impl Into<String>) {
        self.say(Verdict::Bad, what, says);
    }

    fn say(&mut self, verdict: Verdict, what: impl Into<String>, says: impl Into<String>) {
        self.found.push(Checked {
            what: what.into(),
            verdict,
            says: says.into(),
        });
    }

    async fn project(&mut self, project: &str) {
        match self.jira.project(project).await {
            Ok(found) if found.archived => {
                self.bad(format!("{project}: project"), "it is archived and takes no tickets");
            }
            Ok(found) => self.good(format!("{project}: project"), found.name),
            Err(failure) => {
                self.bad(format!("{project}: project"), failure.to_string());
                return;
            }
        }
        match self.jira.permissions(project).await {
            Ok(held) => {
                let missing: Vec<&str> = held
                    .iter()
                    .filter(|(_, held)| !**held)
                    .map(|(key, _)| key.as_str())
                    .collect();
                if missing.is_empty() {
                    self.good(format!("{project}: permissions"), "all that are needed");
                } else {
                    let says = format!("the account lacks {}; grant them in the project", missing.join(", "));
                    self.bad(format!("{project}: permissions"), says);
                }
            }
            Err(failure) => self.bad(format!("{project}: permissions"), failure.to_string()),
        }
        let mut ways = vec![self.config.defaults.clone()];
        ways.extend(self.config.routes.iter().map(|route| route.over(&self.config.defaults)));
        ways.retain(|one| one.project == project);
        let mut seen: Vec<TicketDefaults> = Vec::new();
        for way in ways {
            if !seen.iter().any(|one| one.issue_type == way.issue_type) {
                self.fields(&way).await;
                seen.push(way);
            }
        }
        self.transitions(project).await;
    }

    async fn fields(&mut self, way: &TicketDefaults) {
        let what = format!("{}: issue type \"{}\"", way.project, way.issue_type);
        let fields = match self.jira.create_fields(&way.project, &way.issue_type).await {
            Ok(fields) => fields,
            Err(Failure::NotFound { .. }) => {
                let says = match self.jira.issue_types(&way.project).await {
                    Ok(types) => {
                        let names: Vec<_> = types.into_iter().map(|one| one.name).collect();
                        format!("there is none of that name; there are {}", names.join(", "))
                    }
                    Err(failure) => failure.to_string(),
                };
                return self.bad(what, says);
            }
            Err(failure) => return self.bad(what, failure.to_string()),
        };
        self.good(what.clone(), "it can be created");
        let troubles = field_troubles(way, &fields);
        if troubles.is_empty() {
            self.good(
                format!("{what}: fields"),
                "each that is required is set, each that is set can be",
            );
        }
        for trouble in troubles {
            self.bad(format!("{what}: fields"), trouble);
        }
    }

    /// Transitions are those of an issue, so one of ours is asked.
    async fn transitions(&mut self, project: &str) {
        let what = format!("{project}: transitions");
        let label = self.config.defaults.labels.first();
        let jql = label.map_or_else(
            || format!("project = \"{project}\" ORDER BY created DESC"),
            |label| format!("project = \"{project}\" AND labels = \"{label}\" ORDER BY created DESC"),
        );
        let request = SearchRequest { jql, max_results: 1 };
        let issue = match self.jira.search(&request).await {
            Ok(issues) => issues.into_iter().next(),
            Err(failure) => return self.say(Verdict::Unknown, what, failure.to_string()),
        };
        let Some(issue) = issue else {
            let says = "they are those of a ticket, and there is none yet; check again after the first";
            return self.say(Verdict::Unknown, what, says);
        };
        let done = issue.fields.status.as_ref().is_some_and(crate::jira::Status::is_done);
        let lifecycle = &self.config.lifecycle;
        if !done && lifecycle.resolve != Resolve::Transition {
            return self.good(what, "none into done is needed, since `resolve` is not \"transition\"");
        }
        let (names, resolution) = if done {
            (&lifecycle.reopen_transitions, None)
        } else {
            (&lifecycle.resolve_transitions, lifecycle.resolve_resolution.as_deref())
        };
        match self.jira.transitions(&issue.id).await {
            Ok(all) => match choose(&all, names, resolution, !done) {
                Ok(request) => {
                    let name = all
                        .iter()
                        .find(|one| one.id == request.id)
                        .map_or("", |one| one.name.as_str());
                    self.good(what, format!("{} would take \"{name}\"", issue.key));
                }
                Err(trouble) => self.bad(what, format!("{}: {trouble}", issue.key)),
            },
            Err(failure) => self.bad(what, failure.to_string()),
        }
    }

    /// What is the same in all projects.
    async fn names(&mut self) {
        let of = |found: Result<Vec<String>, Failure>, wanted: Vec<String>| match found {
            Ok(known) => {
                let missing: Vec<String> = wanted
                    .into_iter()
                    .filter(|one| !known.iter().any(|name| name.eq_ignore_ascii_case(one)))
                    .collect();
                if missing.is_empty() {
                    (Verdict::Good, "all that are configured are there".to_owned())
                } else {
                    let says = format!("Jira has no {}; it has {}", missing.join(", "), known.join(", "));
                    (Verdict::Bad, says)
                }
            }
            Err(failure) => (Verdict::Unknown, failure.to_string()),
        };
        let names = |all: Vec<crate::jira::Named>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
        let priorities = self.jira.priorities().await.map(names);
        let wanted = self.config.defaults.priority.values().cloned().collect();
        let (verdict, says) = of(priorities, wanted);
        self.say(verdict, "priorities", says);
        let wanted = self.config.lifecycle.resolve_resolution.iter().cloned().collect();
        let (verdict, says) = of(self.jira.resolutions().await.map(names), wanted);
        self.say(verdict, "resolutions", says);
        let types = self.jira.link_types().await;
        let types = types.map(|all| all.into_iter().map(|one| one.name).collect());
        let (verdict, says) = of(types, vec![LINK_TYPE.to_owned()]);
        self.say(verdict, "link types", says);
    }
}

/// What would be refused of a new ticket, by what its screen takes.
fn field_troubles(way: &TicketDefaults, fields: &[FieldMeta]) -> Vec<String> {
    let mut set = vec!["project", "issuetype", "summary", "description", "labels"];
    set.extend((!way.priority.is_empty()).then_some("priority"));
    set.extend((!way.components.is_empty()).then_some("components"));
    set.extend(way.assignee.is_some().then_some("assignee"));
    set.extend(way.security_level.is_some().then_some("security"));
    set.extend(way.parent.is_some().then_some("parent"));
    set.extend(way.fields.keys().map(String::as_str));
    let mut troubles = Vec::new();
    for field in fields {
        let given = set.contains(&field.id.as_str()) || field.id == "reporter";
        if field.required && !field.has_default && !given {
            troubles.push(format!(
                "the field \"{}\" is required; set {} under [jira.defaults] fields",
                field.name, field.id
            ));
        }
    }
    for id in set {
        if !["project", "issuetype"].contains(&id) && !fields.iter().any(|field| field.id == id) {
            troubles.push(format!(
                "the field {id} is not on the screen; put it there, or do not set it"
            ));
        }
    }
    let lacks = |id: &str, wanted: &[&String]| {
        let field = fields
            .iter()
            .find(|field| field.id == id && !field.allowed.is_empty())?;
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|one| !field.allowed.iter().any(|name| name.eq_ignore_ascii_case(one)))
            .map(|one| one.as_str())
            .collect();
        let allowed = field.allowed.join(", ");
        (!missing.is_empty()).then(|| {
            format!(
                "the field {id} does not take {}; it takes {allowed}",
                missing.join(", ")
            )
        })
    };
    troubles.extend(lacks("priority", &way.priority.values().collect::<Vec<_>>()));
    troubles.extend(lacks("components", &way.components.iter().collect::<Vec<_>>()));
    troubles.extend(lacks("security", &way.security_level.iter().collect::<Vec<_>>()));
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::testing::config;

    #[test]
    fn what_a_screen_would_refuse_is_told_at_once() {
        let field = |id: &str, required, allowed: &[&str]| FieldMeta {
            id: id.to_owned(),
            name: id.to_owned(),
            required,
            has_default: false,
            allowed: allowed.iter().map(|&one| one.to_owned()).collect(),
        };
        let mut way = config("http://127.0.0.1:9").defaults;
        let mut fields = vec![
            field("summary", true, &[]),
            field("description", false, &[]),
            field("labels", false, &[]),
            field("priority", false, &["High", "Low"]),
        ];
        assert_eq!(field_troubles(&way, &fields), [] as [&str; 0]);
        fields.push(field("customfield_1", true, &[]));
        fields.retain(|one| one.id != "labels");
        way.priority
            .insert(phantom_checks::Severity::Medium, "Urgent".to_owned());
        way.components = vec!["web".to_owned()];
        let troubles = field_troubles(&way, &fields);
        for (trouble, word) in
            troubles
                .iter()
                .zip(["customfield_1 under", "labels is not", "components is not", "Urgent"])
        {
            assert!(trouble.contains(word), "{trouble}");
        }
        assert_eq!(troubles.len(), 4);
    }
}
