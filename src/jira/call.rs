//! One request to Jira as data: what a live run sends is what a dry run prints.
//!
//! Where Cloud and Data Center ask differently, the difference is here.

use std::fmt;

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::adf::plain;
use super::wire::{
    IssueEdit, IssueLinkRequest, NewComment, NewIssue, RemoteLinkRequest, SearchRequest, Stamp, TransitionRequest,
    Upload,
};
use super::{PROPERTY, label};
use crate::config::Deployment;
use crate::triage::Fingerprint;

/// The fields that are read of an issue, no more.
const ISSUE_FIELDS: [&str; 11] = [
    "summary",
    "description",
    "status",
    "resolution",
    "resolutiondate",
    "labels",
    "created",
    "updated",
    "attachment",
    "issuelinks",
    "project",
];

/// The permissions that filing and following tickets needs.
pub const PERMISSIONS: [&str; 7] = [
    "BROWSE_PROJECTS",
    "CREATE_ISSUES",
    "EDIT_ISSUES",
    "ADD_COMMENTS",
    "TRANSITION_ISSUES",
    "CREATE_ATTACHMENTS",
    "LINK_ISSUES",
];

/// Things on one page of a list that is read page by page.
pub(super) const PAGE: usize = 100;

/// One request to Jira.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// GET, POST or PUT.
    pub method: Method,
    /// The path below the base URL, unescaped.
    pub path: Vec<String>,
    /// The query, unescaped.
    pub query: Vec<(&'static str, String)>,
    /// The body, sent as JSON.
    pub body: Option<Value>,
    /// A file, sent as a form instead of a body.
    pub upload: Option<Upload>,
    /// It changes something in Jira.
    pub mutates: bool,
    /// Whose dialect it is.
    pub deployment: Deployment,
}

impl Call {
    fn new(deployment: Deployment, method: Method, path: &[&str]) -> Self {
        let version = match deployment {
            Deployment::Cloud => "3",
            Deployment::DataCenter => "2",
        };
        let path = ["rest", "api", version].into_iter().chain(path.iter().copied());
        Self {
            mutates: method != Method::GET,
            method,
            path: path.map(str::to_owned).collect(),
            query: Vec::new(),
            body: None,
            upload: None,
            deployment,
        }
    }

    fn get(deployment: Deployment, path: &[&str]) -> Self {
        Self::new(deployment, Method::GET, path)
    }

    fn with_body(mut self, body: &impl Serialize) -> Self {
        // The types in `wire` have string keys only, so that this cannot fail.
        self.body = Some(serde_json::to_value(body).unwrap_or_default());
        self
    }

    /// Asks for the part of a list that begins after `start` things.
    pub(super) fn from(mut self, start: usize) -> Self {
        self.query.push(("startAt", start.to_string()));
        self.query.push(("maxResults", PAGE.to_string()));
        self
    }

    /// Who are we?
    pub fn myself(deployment: Deployment) -> Self {
        Self::get(deployment, &["myself"])
    }

    /// Creates an issue. Data Center describes no way to set properties with it.
    pub fn create_issue(deployment: Deployment, issue: &NewIssue) -> Self {
        let call = Self::new(deployment, Method::POST, &["issue"]);
        match deployment {
            Deployment::Cloud => call.with_body(issue),
            Deployment::DataCenter => call.with_body(&json!({ "fields": issue.fields })),
        }
    }

    /// Reads an issue by id or key.
    pub fn issue(deployment: Deployment, id: &str) -> Self {
        let mut call = Self::get(deployment, &["issue", id]);
        call.query = vec![
            ("fields", ISSUE_FIELDS.join(",")),
            ("properties", PROPERTY.to_owned()),
            ("updateHistory", "false".to_owned()),
        ];
        call
    }

    /// Changes what is set, nothing else.
    pub fn edit_issue(deployment: Deployment, id: &str, edit: &IssueEdit) -> Self {
        Self::new(deployment, Method::PUT, &["issue", id]).with_body(&json!({ "fields": edit }))
    }

    /// Reads the first page of a search.
    pub fn search(deployment: Deployment, request: &SearchRequest) -> Self {
        let mut body = json!({
            "jql": request.jql,
            "fields": ISSUE_FIELDS,
            "maxResults": request.max_results,
        });
        let path: &[&str] = match deployment {
            Deployment::Cloud => {
                body["properties"] = json!([PROPERTY]);
                &["search", "jql"]
            }
            Deployment::DataCenter => {
                body["startAt"] = json!(0);
                &["search"]
            }
        };
        Self {
            mutates: false,
            ..Self::new(deployment, Method::POST, path).with_body(&body)
        }
    }

    /// The search that reads the next page, by the token that the last one gave or by how many were read.
    pub(super) fn next_page(mut self, token: Option<&str>, read: usize) -> Self {
        if let Some(body) = &mut self.body {
            match token {
                Some(token) => body["nextPageToken"] = json!(token),
                None => body["startAt"] = json!(read),
            }
        }
        self
    }

    /// Sets our entity property.
    pub fn set_stamp(deployment: Deployment, id: &str, stamp: &Stamp) -> Self {
        Self::set_property(deployment, id, PROPERTY, stamp)
    }

    pub(super) fn set_property(deployment: Deployment, id: &str, key: &str, value: &impl Serialize) -> Self {
        Self::new(deployment, Method::PUT, &["issue", id, "properties", key]).with_body(value)
    }

    /// Reads our entity property.
    pub fn stamp(deployment: Deployment, id: &str) -> Self {
        Self::get(deployment, &["issue", id, "properties", PROPERTY])
    }

    /// Adds a comment.
    pub fn add_comment(deployment: Deployment, id: &str, comment: &NewComment) -> Self {
        Self::new(deployment, Method::POST, &["issue", id, "comment"]).with_body(comment)
    }

    /// Reads the comments.
    pub fn comments(deployment: Deployment, id: &str) -> Self {
        Self::get(deployment, &["issue", id, "comment"])
    }

    /// Reads what can be done with an issue now, and what the screens ask for.
    pub fn transitions(deployment: Deployment, id: &str) -> Self {
        let mut call = Self::get(deployment, &["issue", id, "transitions"]);
        call.query = vec![("expand", "transitions.fields".to_owned())];
        call
    }

    /// Moves an issue to another status.
    pub fn transition(deployment: Deployment, id: &str, request: &TransitionRequest) -> Self {
        Self::new(deployment, Method::POST, &["issue", id, "transitions"]).with_body(&request.body())
    }

    /// Attaches a file.
    pub fn attach(deployment: Deployment, id: &str, upload: &Upload) -> Self {
        Self {
            upload: Some(upload.clone()),
            ..Self::new(deployment, Method::POST, &["issue", id, "attachments"])
        }
    }

    /// Links two issues.
    pub fn link_issues(deployment: Deployment, request: &IssueLinkRequest) -> Self {
        Self::new(deployment, Method::POST, &["issueLink"]).with_body(&request.body())
    }

    /// Links an issue to a place outside of Jira.
    pub fn link_remotely(deployment: Deployment, id: &str, request: &RemoteLinkRequest) -> Self {
        Self::new(deployment, Method::POST, &["issue", id, "remotelink"]).with_body(&request.body())
    }

    /// Reads the history of an issue: by pages on Cloud, with the issue on Data Center.
    pub fn changelog(deployment: Deployment, id: &str) -> Self {
        match deployment {
            Deployment::Cloud => Self::get(deployment, &["issue", id, "changelog"]),
            Deployment::DataCenter => {
                let mut call = Self::get(deployment, &["issue", id]);
                call.query = vec![
                    ("fields", "status".to_owned()),
                    ("expand", "changelog".to_owned()),
                    ("updateHistory", "false".to_owned()),
                ];
                call
            }
        }
    }

    /// What may we do in a project?
    pub fn permissions(deployment: Deployment, project: &str) -> Self {
        let mut call = Self::get(deployment, &["mypermissions"]);
        call.query = vec![("projectKey", project.to_owned())];
        if deployment == Deployment::Cloud {
            call.query.push(("permissions", PERMISSIONS.join(",")));
        }
        call
    }

    /// Reads a project.
    pub fn project(deployment: Deployment, key: &str) -> Self {
        Self::get(deployment, &["project", key])
    }

    /// Reads which types of issue can be created in a project.
    pub fn issue_types(deployment: Deployment, project: &str) -> Self {
        Self::get(deployment, &["issue", "createmeta", project, "issuetypes"])
    }

    /// Reads which fields a new issue of a type has.
    pub fn create_fields(deployment: Deployment, project: &str, issue_type_id: &str) -> Self {
        Self::get(
            deployment,
            &["issue", "createmeta", project, "issuetypes", issue_type_id],
        )
    }

    /// Reads all statuses.
    pub fn statuses(deployment: Deployment) -> Self {
        Self::get(deployment, &["status"])
    }

    /// Reads the priorities: by pages on Cloud, all at once on Data Center.
    pub fn priorities(deployment: Deployment) -> Self {
        Self::named(deployment, "priority")
    }

    /// Reads the resolutions: by pages on Cloud, all at once on Data Center.
    pub fn resolutions(deployment: Deployment) -> Self {
        Self::named(deployment, "resolution")
    }

    fn named(deployment: Deployment, what: &str) -> Self {
        match deployment {
            Deployment::Cloud => Self::get(deployment, &[what, "search"]),
            Deployment::DataCenter => Self::get(deployment, &[what]),
        }
    }

    /// Reads the types of links between issues.
    pub fn link_types(deployment: Deployment) -> Self {
        Self::get(deployment, &["issueLinkType"])
    }

    /// The whole address.
    pub fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Method and path, for messages.
    pub fn name(&self) -> String {
        format!("{} /{}", self.method, self.path.join("/"))
    }
}

impl fmt::Display for Call {
    /// Method, path and query on one line, the body as indented JSON below; a description last, as people read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        if let Some(file) = &self.upload {
            write!(f, "\n{} ({}, {} bytes)", file.name, file.mime, file.bytes.len())?;
        }
        let Some(body) = &self.body else { return Ok(()) };
        let mut body = body.clone();
        let Some(description) = body.pointer_mut("/fields/description").map(Value::take) else {
            return write!(f, "\n{body:#}");
        };
        body["fields"]["description"] = "as below".into();
        write!(f, "\n{body:#}")?;
        let text = description.as_str().map_or_else(|| plain(&description), str::to_owned);
        text.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl SearchRequest {
    /// The search for the ticket of a finding in some projects: by its label, whatever its status.
    pub fn for_ticket(projects: &[String], fingerprint: &Fingerprint, generation: u32) -> Self {
        let projects: Vec<String> = projects.iter().map(|project| quote(project)).collect();
        Self {
            jql: format!(
                "project in ({}) AND labels = {} ORDER BY created ASC",
                projects.join(", "),
                quote(&label(fingerprint, generation))
            ),
            max_results: 50,
        }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUD: Deployment = Deployment::Cloud;
    const DATA_CENTER: Deployment = Deployment::DataCenter;

    #[test]
    fn addresses_are_below_the_base_and_escaped() {
        for (deployment, base, expected) in [
            (CLOUD, "https://x.test", "https://x.test/rest/api/3/issue/A%2F..%3Fb"),
            (
                CLOUD,
                "https://x.test/ex/jira/7/",
                "https://x.test/ex/jira/7/rest/api/3/issue/A%2F..%3Fb",
            ),
            (
                DATA_CENTER,
                "https://x.test/jira",
                "https://x.test/jira/rest/api/2/issue/A%2F..%3Fb",
            ),
        ] {
            let mut call = Call::issue(deployment, "A/..?b");
            call.query.clear();
            assert_eq!(call.url(&Url::parse(base).unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn a_query_quotes_what_it_is_given() {
        let request = SearchRequest::for_ticket(
            &["SEC".to_owned(), "a\"b\\".to_owned()],
            &Fingerprint("f0".to_owned()),
            1,
        );
        assert_eq!(
            request.jql,
            r#"project in ("SEC", "a\"b\\") AND labels = "phantom-f0-g1" ORDER BY created ASC"#
        );
    }

    #[test]
    fn each_deployment_pages_a_search_in_its_way() {
        let request = SearchRequest::for_ticket(&[], &Fingerprint(String::new()), 1);
        let body = |call: Call| call.body.unwrap();
        let cloud = Call::search(CLOUD, &request);
        assert_eq!(cloud.name(), "POST /rest/api/3/search/jql");
        assert_eq!(body(cloud.clone())["properties"][0], PROPERTY);
        let next = body(cloud.next_page(Some("t"), 50));
        assert_eq!((&next["nextPageToken"], next.get("startAt")), (&json!("t"), None));
        let dc = Call::search(DATA_CENTER, &request);
        assert_eq!(dc.name(), "POST /rest/api/2/search");
        assert_eq!(
            (&body(dc.clone())["startAt"], body(dc.clone()).get("properties")),
            (&json!(0), None)
        );
        assert_eq!(body(dc.next_page(None, 50))["startAt"], 50);
    }

    #[test]
    fn a_description_is_shown_as_people_read_it() {
        let paragraph = |text: &str| json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] });
        let adf = json!({ "type": "doc", "version": 1, "content": [paragraph("One."), paragraph("Two.")] });
        for description in [adf, "One.\nTwo.".into()] {
            let mut call = Call::search(CLOUD, &SearchRequest::for_ticket(&[], &Fingerprint(String::new()), 1));
            call.body = Some(json!({ "fields": { "summary": "S", "description": description } }));
            let shown = call.to_string();
            assert!(shown.contains("\"summary\": \"S\""), "{shown}");
            assert!(shown.ends_with("}\n  One.\n  Two."), "{shown}");
        }
    }

    #[test]
    fn what_changes_something_is_known() {
        for deployment in [CLOUD, DATA_CENTER] {
            assert!(!Call::myself(deployment).mutates);
            let search = SearchRequest::for_ticket(&[], &Fingerprint(String::new()), 1);
            assert!(!Call::search(deployment, &search).mutates);
            let stamp = Stamp {
                fingerprint: Fingerprint("f0".to_owned()),
                generation: 1,
            };
            assert!(Call::set_stamp(deployment, "1", &stamp).mutates);
        }
    }

    #[test]
    fn only_what_is_set_is_sent() {
        let body = |edit: &IssueEdit| Call::edit_issue(CLOUD, "1", edit).body.unwrap();
        assert_eq!(body(&IssueEdit::default()), json!({ "fields": {} }));
        let edit = IssueEdit {
            summary: Some("s".to_owned()),
            description: None,
        };
        assert_eq!(body(&edit), json!({ "fields": { "summary": "s" } }));
        let mut request = TransitionRequest {
            id: "31".to_owned(),
            resolution: None,
        };
        assert_eq!(request.body(), json!({ "transition": { "id": "31" } }));
        request.resolution = Some("Done".to_owned());
        assert_eq!(request.body()["fields"], json!({ "resolution": { "name": "Done" } }));
    }

    #[test]
    fn an_upload_is_shown_by_name_and_size() {
        let upload = Upload {
            name: "a.png".to_owned(),
            mime: "image/png".to_owned(),
            bytes: vec![0; 2_000],
        };
        let shown = Call::attach(CLOUD, "1", &upload).to_string();
        assert_eq!(
            shown,
            "POST /rest/api/3/issue/1/attachments\na.png (image/png, 2000 bytes)"
        );
        assert!(format!("{upload:?}").len() < 60);
    }
}
