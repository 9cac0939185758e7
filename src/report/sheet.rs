//! All that is known of one finding, gathered from the store.

use serde::Serialize;
use url::Url;

use super::ReportError;
use super::build::{MAX_PAGES, ticket_part};
use super::model::{DecisionPart, TicketPart};
use super::suppressed::decision_part;
use crate::store::TicketStore;
use crate::triage::exchange::{self, Exported};
use crate::triage::{Finding, FindingEvent, FindingPage, Suppression};

/// All that is known of one finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FindingSheet {
    /// The finding.
    pub finding: Finding,
    /// Where it was seen by the last scan that saw it, the first [`MAX_PAGES`] by URL. Untrusted.
    pub pages: Vec<FindingPage>,
    /// On how many pages that scan saw it.
    pub pages_total: u64,
    /// Its ticket.
    pub ticket: Option<TicketPart>,
    /// The decision in effect.
    pub decision: Option<DecisionPart>,
    /// What became of it, oldest first.
    pub history: Vec<FindingEvent>,
}

/// Gathers all that is known of a finding. Where people open tickets is `browse_url`, if a Jira is configured.
pub async fn sheet(
    store: &dyn TicketStore,
    finding: Finding,
    browse_url: Option<&Url>,
) -> Result<FindingSheet, ReportError> {
    let (pages, pages_total) = store
        .finding_pages(&finding.last_scan, &finding.fingerprint, MAX_PAGES)
        .await?;
    let ticket = store.ticket(&finding.fingerprint).await?;
    let suppressions = store.suppressions().await?;
    Ok(FindingSheet {
        pages,
        pages_total,
        ticket: ticket.map(|link| ticket_part(link, browse_url)),
        decision: in_effect(&suppressions, &finding).map(decision_part),
        history: store.finding_events(&finding.fingerprint).await?,
        finding,
    })
}

fn in_effect<'a>(suppressions: &'a [Suppression], finding: &Finding) -> Option<&'a Suppression> {
    let id = finding.past.suppressed_by.as_deref()?;
    suppressions.iter().find(|one| one.id == id)
}

/// Findings as JSON that `DefectDojo` imports.
pub async fn export(
    store: &dyn TicketStore,
    findings: &[Finding],
    browse_url: Option<&Url>,
) -> Result<serde_json::Value, ReportError> {
    let suppressions = store.suppressions().await?;
    let mut gathered = Vec::with_capacity(findings.len());
    for finding in findings {
        let (pages, total) = store
            .finding_pages(&finding.last_scan, &finding.fingerprint, MAX_PAGES)
            .await?;
        let ticket = store.ticket(&finding.fingerprint).await?;
        let ticket = ticket.and_then(|link| ticket_part(link, browse_url).url);
        let pages: Vec<String> = pages.into_iter().map(|page| page.url).collect();
        gathered.push((finding, pages, total, ticket));
    }
    let exported: Vec<Exported<'_>> = gathered
        .iter()
        .map(|(finding, pages, total, ticket)| Exported {
            finding,
            pages,
            pages_total: *total,
            ticket: ticket.as_deref(),
            suppression: in_effect(&suppressions, finding),
        })
        .collect();
    Ok(exchange::export(&exported))
}
