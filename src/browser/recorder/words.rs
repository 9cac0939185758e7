//! The browser's words as those of evidence.

use std::collections::BTreeMap;

use phantom_checks::evidence::{
    CspBlocked, CspIssue, Header, Initiator, MixedContentIssue, MixedContentResolution, MixedContentType, ResourceKind,
};
use url::Url;

use crate::browser::events::{CspDetails, InitiatorData, MixedContentDetails, ResponseData, Stack};

/// Longest header value kept, in characters.
const MAX_HEADER: usize = 4_096;
/// Longest URL kept, in characters.
const MAX_URL: usize = 8_192;

/// A URL as it is kept: a page can make them megabytes long.
pub(super) fn bounded(url: &str) -> String {
    url.chars().take(MAX_URL).collect()
}

/// The scheme of where a redirect leads, if no page can be there.
pub(super) fn no_page(from: &str, headers: &BTreeMap<String, serde_json::Value>) -> Option<String> {
    let (_, to) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    let to = Url::parse(from).ok()?.join(to.as_str()?).ok()?;
    (!matches!(to.scheme(), "http" | "https")).then(|| to.scheme().chars().take(40).collect())
}

pub(super) fn mixed(word: &str) -> MixedContentType {
    match word {
        "none" | "" => MixedContentType::None,
        "blockable" => MixedContentType::Blockable,
        "optionally-blockable" => MixedContentType::OptionallyBlockable,
        _ => MixedContentType::Unknown,
    }
}

pub(super) fn resource_kind(word: &str) -> ResourceKind {
    match word {
        "Document" => ResourceKind::Document,
        "Stylesheet" => ResourceKind::Stylesheet,
        "Image" => ResourceKind::Image,
        "Media" => ResourceKind::Media,
        "Font" => ResourceKind::Font,
        "Script" => ResourceKind::Script,
        "TextTrack" => ResourceKind::TextTrack,
        "XHR" => ResourceKind::Xhr,
        "Fetch" => ResourceKind::Fetch,
        "Prefetch" => ResourceKind::Prefetch,
        "EventSource" => ResourceKind::EventSource,
        "WebSocket" => ResourceKind::WebSocket,
        "Manifest" => ResourceKind::Manifest,
        "Ping" => ResourceKind::Ping,
        "CSPViolationReport" => ResourceKind::CspViolationReport,
        "Preflight" => ResourceKind::Preflight,
        "Other" | "SignedExchange" | "FedCM" => ResourceKind::Other,
        _ => ResourceKind::Unknown,
    }
}

pub(super) fn initiator(data: &InitiatorData) -> Initiator {
    let frame = innermost(data.stack.as_ref());
    let (url, line) = match frame {
        Some((url, line)) => (Some(url), Some(line)),
        None => (
            data.url.clone(),
            data.line_number.as_ref().and_then(serde_json::Value::as_i64),
        ),
    };
    Initiator {
        kind: data.r#type.clone(),
        url: url.filter(|url| !url.is_empty()).map(|url| bounded(&url)),
        // The browser counts lines from 0.
        line: line.and_then(|line| u32::try_from(line.saturating_add(1)).ok()),
    }
}

fn innermost(stack: Option<&Stack>) -> Option<(String, i64)> {
    let mut stack = stack;
    while let Some(level) = stack {
        if let Some(frame) = level.call_frames.iter().find(|frame| !frame.url.is_empty()) {
            return Some((frame.url.clone(), frame.line_number));
        }
        stack = level.parent.as_deref();
    }
    None
}

pub(super) fn headers(response: &ResponseData) -> Vec<Header> {
    response
        .headers
        .iter()
        .map(|(name, value)| Header {
            name: name.to_ascii_lowercase(),
            value: value.as_str().unwrap_or_default().chars().take(MAX_HEADER).collect(),
        })
        .collect()
}

/// The headers of an answer that is no document, script or stylesheet: what it lets other origins do.
pub(super) fn sharing_headers(response: &ResponseData) -> Vec<Header> {
    let mut kept = headers(response);
    kept.retain(|header| header.name.starts_with("access-control-allow-"));
    kept
}

pub(super) fn csp_issue(details: CspDetails, frame: Option<String>) -> CspIssue {
    let source = details.source_code_location.filter(|source| !source.url.is_empty());
    CspIssue {
        directive: bounded(&details.violated_directive),
        blocked: match details.content_security_policy_violation_type.as_str() {
            "kURLViolation" => CspBlocked::Url,
            "kInlineViolation" => CspBlocked::Inline,
            "kEvalViolation" | "kWasmEvalViolation" => CspBlocked::Eval,
            "kTrustedTypesSinkViolation" | "kTrustedTypesPolicyViolation" => CspBlocked::TrustedTypes,
            _ => CspBlocked::Unknown,
        },
        blocked_url: details
            .blocked_url
            .filter(|url| !url.is_empty())
            .map(|url| bounded(&url)),
        report_only: details.is_report_only,
        source_line: source
            .as_ref()
            .and_then(|source| u32::try_from(source.line_number.saturating_add(1)).ok()),
        source_url: source.map(|source| bounded(&source.url)),
        frame,
    }
}

pub(super) fn mixed_content_issue(details: MixedContentDetails) -> MixedContentIssue {
    MixedContentIssue {
        resource: details.resource_type,
        resolution: match details.resolution_status.as_str() {
            "MixedContentBlocked" => MixedContentResolution::Blocked,
            "MixedContentAutomaticallyUpgraded" => MixedContentResolution::Upgraded,
            "MixedContentWarning" => MixedContentResolution::Warning,
            _ => MixedContentResolution::Unknown,
        },
        insecure_url: bounded(&details.insecure_url),
        document_url: bounded(&details.main_resource_url),
        request: details.request.and_then(|request| request.request_id.or(request.url)),
        frame: details.frame.map(|frame| frame.frame_id),
    }
}
