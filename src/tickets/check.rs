//! The preflight: asks Jira, in one go, for all that would fail later.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::perform::{LINK_TYPE, choose};
use super::route::{projects_of, search_projects};
use crate::config::{JiraConfig, Resolve, TicketDefaults};
use crate::jira::{Client, Failure, FieldMeta, Issue, SearchRequest, Status};

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
    /// It would work, but not as the configuration says.
    Doubtful,
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
    let filed = projects_of(config);
    for project in search_projects(config).iter().filter(|one| !filed.contains(one)) {
        preflight.searched(project).await;
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
        let mut types: BTreeMap<String, Vec<TicketDefaults>> = BTreeMap::new();
        for way in ways {
            types.entry(way.issue_type.clone()).or_default().push(way);
        }
        for (issue_type, ways) in types {
            self.fields(project, &issue_type, &ways).await;
        }
        self.transitions(project).await;
    }

    async fn fields(&mut self, project: &str, issue_type: &str, ways: &[TicketDefaults]) {
        let what = format!("{project}: issue type \"{issue_type}\"");
        let fields = match self.jira.create_fields(project, issue_type).await {
            Ok(fields) => fields,
            Err(Failure::NotFound { .. }) => {
                let says = match self.jira.issue_types(project).await {
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
        let troubles: BTreeSet<String> = ways.iter().flat_map(|way| field_troubles(way, &fields)).collect();
        if troubles.is_empty() {
            self.good(
                format!("{what}: fields"),
                "each that is required is set, each that is set can be",
            );
        }
        for trouble in troubles {
            self.bad(format!("{what}: fields"), trouble);
        }
        let parents: BTreeSet<&String> = ways.iter().filter_map(|way| way.parent.as_ref()).collect();
        for parent in parents {
            if let Err(failure) = self.jira.issue(parent).await {
                self.bad(format!("{what}: parent {parent}"), failure.to_string());
            }
        }
    }

    /// A project in which tickets are searched and not filed: one that is not there has every search refused.
    async fn searched(&mut self, project: &str) {
        let what = format!("{project}: searched");
        match self.jira.project(project).await {
            Ok(found) => self.good(what, found.name),
            Err(failure) => self.bad(what, format!("{failure}; see `search_projects`")),
        }
    }

    /// Transitions are those of an issue: one of ours is asked, else any of the project.
    async fn transitions(&mut self, project: &str) {
        let label = self.config.defaults.labels.first();
        let ours = label.map(|label| format!("project = \"{project}\" AND labels = \"{label}\" ORDER BY created DESC"));
        let all = format!("project = \"{project}\" ORDER BY created DESC");
        let mut issues = Vec::new();
        for jql in ours.into_iter().chain([all]) {
            if issues.is_empty() {
                let request = SearchRequest { jql, max_results: 50 };
                match self.jira.search_once(&request).await {
                    Ok(found) => issues = found,
                    Err(failure) => {
                        return self.say(Verdict::Unknown, format!("{project}: transitions"), failure.to_string());
                    }
                }
            }
        }
        let done = |issue: &&Issue| issue.fields.status.as_ref().is_some_and(Status::is_done);
        let lifecycle = &self.config.lifecycle;
        let resolution = lifecycle.resolve_resolution.as_deref();
        if lifecycle.resolve == Resolve::Transition {
            let open = issues.iter().find(|one| !done(one));
            let names = &lifecycle.resolve_transitions;
            self.way(project, open, names, resolution, true).await;
        }
        let closed = issues.iter().find(done);
        self.way(project, closed, &lifecycle.reopen_transitions, None, false)
            .await;
    }

    async fn way(
        &mut self,
        project: &str,
        issue: Option<&Issue>,
        names: &[String],
        resolution: Option<&str>,
        into_done: bool,
    ) {
        let (what, which, key) = if into_done {
            ("transition into done", "open", "resolve_transitions")
        } else {
            ("transition out of done", "closed", "reopen_transitions")
        };
        let what = format!("{project}: {what}");
        let Some(issue) = issue else {
            let says = format!("it is that of a ticket, and no {which} one is there to ask; check again when there is");
            return self.say(Verdict::Unknown, what, says);
        };
        let all = match self.jira.transitions(&issue.id).await {
            Ok(all) => all,
            Err(failure) => return self.bad(what, failure.to_string()),
        };
        let request = match choose(&all, names, resolution, into_done) {
            Ok(request) => request,
            Err(trouble) => return self.bad(what, format!("{}: {trouble}", issue.key)),
        };
        let taken = all.iter().find(|one| one.id == request.id);
        let name = taken.map_or("", |one| one.name.as_str());
        if names.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            self.good(what, format!("{} would take \"{name}\"", issue.key));
        } else {
            let says = format!(
                "{} has none that is called {} and can be taken; it would take \"{name}\"; correct `{key}`",
                issue.key,
                names.join(" or ")
            );
            self.say(Verdict::Doubtful, what, says);
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
