//! The queue and its tickets as pages for people. Everything in them is escaped and nothing runs.

use super::document::{escape, html};
use super::state::SandboxIssue;

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
pub(super) fn queue(issues: &[SandboxIssue]) -> String {
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
    let body = format!(
        "<h1>Jira sandbox</h1><p class=\"muted\">{} tickets. A rehearsal: nothing here is in a real Jira.</p>\
         <table><tr><th>Key</th><th>Summary</th><th>Priority</th><th>Status</th><th>Created (UTC)</th></tr>{}\
         </table>",
        issues.len(),
        rows.concat()
    );
    page("Jira sandbox", &body)
}

/// One ticket.
pub(super) fn ticket(issue: &SandboxIssue) -> String {
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
                "<h4>{}</h4>{}",
                comment.created.strftime("%Y-%m-%d %H:%M UTC"),
                html(&comment.body)
            )
        })
        .collect();
    let body = format!(
        "<p><a href=\"/sandbox\">Queue</a> / {key}</p><h1>{summary}</h1><p>{kind} · {priority} · {status} {labels}</p>\
         {description}<hr><h3>Comments</h3>{comments}<h3>Entity properties</h3><ul>{properties}</ul>",
        key = escape(&issue.key),
        summary = escape(&issue.summary),
        kind = escape(&issue.issue_type),
        priority = escape(&issue.priority),
        status = status(issue),
        labels = labels.concat(),
        description = html(&issue.description),
        comments = comments.concat(),
        properties = properties.concat(),
    );
    page(&format!("{} {}", issue.key, issue.summary), &body)
}

fn status(issue: &SandboxIssue) -> &'static str {
    if issue.done { "Done" } else { "To Do" }
}
