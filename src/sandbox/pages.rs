//! The queue and its tickets as pages for people. Everything in them is escaped and nothing runs.

use serde_json::Value;

use super::document::{escape, html};
use super::options::SandboxOptions;
use super::state::{Kept, SandboxIssue, SandboxStatus};
use super::wiki;
use crate::config::Deployment;

/// Nothing is loaded and nothing runs; the one style is our own.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1d2330;background:#fff}\
a{color:#0b5cd5;text-decoration:none}a:hover{text-decoration:underline}\
table{border-collapse:collapse;width:100%;margin:.5rem 0}\
th,td{border-bottom:1px solid #dfe3ea;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
td p,li p{margin:0}pre{background:#f4f6f9;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere;border-radius:4px}\
.tag{display:inline-block;background:#eef1f6;border-radius:3px;padding:0 .4rem;margin-right:.3rem;font-size:13px}\
.muted{color:#667}";

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style><body>{body}</body></html>",
        escape(title)
    )
}

/// The queue, newest first.
pub(super) fn queue(issues: &[SandboxIssue], deployment: Deployment) -> String {
    let rows: Vec<String> = issues
        .iter()
        .rev()
        .map(|issue| {
            format!(
                "<tr><td><a href=\"/browse/{key}\">{key}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&issue.summary),
                escape(&issue.priority),
                status(issue),
                issue.created.strftime("%Y-%m-%d %H:%M"),
                key = escape(&issue.key),
            )
        })
        .collect();
    let which = match deployment {
        Deployment::Cloud => "Cloud",
        Deployment::DataCenter => "Data Center",
    };
    let body = format!(
        "<h1>Jira sandbox</h1><p class=\"muted\">{which}, {} tickets. A rehearsal: nothing here is in a real Jira.</p>\
         <table><tr><th>Key</th><th>Summary</th><th>Priority</th><th>Status</th><th>Created (UTC)</th></tr>{}\
         </table>",
        issues.len(),
        rows.concat()
    );
    page("Jira sandbox", &body)
}

/// One ticket.
pub(super) fn ticket(issue: &SandboxIssue, kept: &Kept, options: &SandboxOptions) -> String {
    let labels: Vec<String> = issue
        .labels
        .iter()
        .map(|label| format!("<span class=\"tag\">{}</span>", escape(label)))
        .collect();
    let properties: Vec<String> = issue
        .properties
        .iter()
        .map(|(key, value)| format!("<li><code>{}</code> {}</li>", escape(key), escape(&value.to_string())))
        .collect();
    let comments: Vec<String> = issue
        .comments
        .iter()
        .map(|comment| {
            format!(
                "<h4>{}, {}</h4>{}",
                escape(&name(options, &comment.author)),
                comment.created.strftime("%Y-%m-%d %H:%M UTC"),
                rendered(&comment.body)
            )
        })
        .collect();
    let body = format!(
        "<p><a href=\"/sandbox\">Queue</a> / {key}</p><h1>{summary}</h1><p>{kind} · {priority} · {status} {labels}</p>\
         {description}<hr>{files}{links}<h3>Comments</h3>{comments}<h3>History</h3><ul>{history}</ul>\
         <h3>Entity properties</h3><ul>{properties}</ul>",
        key = escape(&issue.key),
        summary = escape(&issue.summary),
        kind = escape(&issue.issue_type),
        priority = escape(&issue.priority),
        status = status(issue),
        labels = labels.concat(),
        description = rendered(&issue.description),
        files = files(issue),
        links = links(issue, kept),
        history = history(issue, options),
        comments = comments.concat(),
        properties = properties.concat(),
    );
    page(&format!("{} {}", issue.key, issue.summary), &body)
}

fn status(issue: &SandboxIssue) -> String {
    let status = match issue.status {
        SandboxStatus::ToDo => "To Do",
        SandboxStatus::InProgress => "In Progress",
        SandboxStatus::Done => "Done",
    };
    match &issue.resolution {
        Some(resolution) => format!("{status}, {}", escape(resolution)),
        None => status.to_owned(),
    }
}

/// An Atlassian document or wiki markup.
fn rendered(text: &Value) -> String {
    text.as_str().map_or_else(|| html(text), wiki::html)
}

fn name(options: &SandboxOptions, account: &str) -> String {
    options
        .account(account)
        .map_or_else(|| account.to_owned(), |one| one.name)
}

fn files(issue: &SandboxIssue) -> String {
    let items: Vec<String> = issue
        .attachments
        .iter()
        .map(|file| {
            format!(
                "<li>{} <span class=\"muted\">{} bytes</span></li>",
                escape(&file.name),
                file.size
            )
        })
        .collect();
    section("Attachments", &items)
}

fn links(issue: &SandboxIssue, kept: &Kept) -> String {
    let items: Vec<String> = kept
        .links
        .iter()
        .filter_map(|link| {
            let (arrow, other) = match issue.id {
                id if id == link.from => ("→", link.to),
                id if id == link.to => ("←", link.from),
                _ => return None,
            };
            let key = escape(&kept.by_id(other)?.key);
            Some(format!(
                "<li>{} {arrow} <a href=\"/browse/{key}\">{key}</a></li>",
                escape(&link.kind)
            ))
        })
        .collect();
    section("Links", &items)
}

fn section(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("<h3>{title}</h3><ul>{}</ul>", items.concat())
}

fn history(issue: &SandboxIssue, options: &SandboxOptions) -> String {
    let shown = |value: &(Option<String>, Option<String>)| {
        let text: String = value.1.as_deref().unwrap_or("–").chars().take(60).collect();
        escape(&text)
    };
    let items = issue.history.iter().flat_map(|change| {
        change.items.iter().map(move |item| {
            format!(
                "<li>{} {}: {} {} → {}</li>",
                change.created.strftime("%Y-%m-%d %H:%M UTC"),
                escape(&name(options, &change.author)),
                escape(&item.field),
                shown(&item.from),
                shown(&item.to),
            )
        })
    });
    items.collect()
}
