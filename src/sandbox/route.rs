//! Which function answers which request. What one deployment has and the other has not is told apart here.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::api::{Answer, Desk, Handled};
use super::setup::listed;

/// A request to the API.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    /// The path below `rest/api/N`, in parts.
    pub path: &'a [&'a str],
    pub query: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

pub(super) fn answer(desk: &mut Desk<'_>, asked: &Asked<'_>) -> Handled {
    let Asked { query, body, .. } = *asked;
    match (asked.method.as_str(), asked.path) {
        ("GET", ["myself"]) => Ok(desk.myself()),
        ("POST", ["issue"]) => desk.create(body),
        ("GET", ["issue", "createmeta", project, "issuetypes"]) => desk.issue_types(project, query),
        ("GET", ["issue", "createmeta", project, "issuetypes", kind]) => desk.create_fields(project, kind, query),
        ("GET", ["issue", id]) => desk.get(id, query),
        ("PUT", ["issue", id]) => desk.edit(id, query, body),
        ("DELETE", ["issue", id]) => desk.delete(id),
        ("GET", ["issue", id, "properties", key]) => desk.get_property(id, key),
        ("PUT", ["issue", id, "properties", key]) => desk.set_property(id, key, body),
        ("GET", ["issue", id, "comment"]) => desk.comments(id, query),
        ("POST", ["issue", id, "comment"]) => desk.add_comment(id, body),
        ("GET", ["issue", id, "transitions"]) => desk.transitions(id, query),
        ("POST", ["issue", id, "transitions"]) => desk.transition(id, body),
        ("POST", ["issue", id, "attachments"]) => desk.attach(id, asked.content_type, body),
        ("GET", ["issue", id, "remotelink"]) => desk.remote_links(id),
        ("POST", ["issue", id, "remotelink"]) => desk.add_remote_link(id, body),
        ("GET", ["issue", id, "changelog"]) if desk.is_cloud() => desk.changelog(id, query),
        ("POST", ["issueLink"]) => desk.add_link(body),
        ("GET", ["issueLinkType"]) => Ok(desk.link_types()),
        ("GET", ["mypermissions"]) => desk.permissions(query),
        ("GET", ["project", key]) => desk.project(key),
        ("GET", ["status"]) => Ok(desk.statuses()),
        ("GET", ["priority", "search"]) if desk.is_cloud() => listed(&desk.priorities(), query),
        ("GET", ["resolution", "search"]) if desk.is_cloud() => listed(&desk.resolutions(), query),
        ("GET", ["priority"]) if !desk.is_cloud() => Ok(Answer::ok(json!(desk.priorities()))),
        ("GET", ["resolution"]) if !desk.is_cloud() => Ok(Answer::ok(json!(desk.resolutions()))),
        ("POST", ["search", "jql"]) if desk.is_cloud() => desk.search(body),
        ("POST", ["search"]) if !desk.is_cloud() => desk.search_by_offset(body),
        (_, ["search"]) if desk.is_cloud() => Err(Answer::error(
            StatusCode::GONE,
            "The requested API has been removed. Please use the /rest/api/3/search/jql API instead.",
        )),
        (_, path) if is_known(path) => Err(Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.")),
        _ => Err(Answer::error(
            StatusCode::NOT_FOUND,
            "This sandbox has no such resource.",
        )),
    }
}

/// Does this ask for a change?
pub(super) fn changes(method: &Method, path: &[&str]) -> bool {
    method != Method::GET && !matches!(path, ["search"] | ["search", "jql"])
}

fn is_known(path: &[&str]) -> bool {
    matches!(
        path,
        ["myself" | "issue" | "issueLink" | "issueLinkType" | "mypermissions" | "status"]
            | ["issue" | "project", _]
            | ["issue", _, "comment" | "transitions" | "attachments" | "remotelink"]
            | ["issue", _, "properties", _]
    )
}
