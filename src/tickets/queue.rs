//! What a person asks of the outbox: what is there, what waits, what failed, go on.

use jiff::Timestamp;
use serde::Serialize;

use super::outbox::{ActionKind, ActionRecord, ActionState, Held, Hold, Intent};
use super::reconcile::{is_seen, policy};
use crate::config::JiraConfig;
use crate::store::{Result, TicketStore};
use crate::triage::{Finding, Fingerprint};

/// Intents that are looked at, at most.
const LIMIT: u32 = 100_000;

/// A ticket as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketRow {
    /// Jira's key.
    pub key: String,
    /// The finding, or one of our own notices.
    pub fingerprint: Fingerprint,
    /// Which of the finding's tickets it is; the first is 1.
    pub generation: u32,
    /// When it was closed, as far as is known.
    pub closed: Option<Timestamp>,
    /// It was gone for several nights.
    pub orphan: bool,
    /// The finding's title; empty for notices. Untrusted.
    pub title: String,
    /// The finding's severity and state, as words; empty for notices.
    pub severity: String,
    /// As above.
    pub state: String,
}

/// A finding whose ticket waits to be brought into line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingRow {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// Its title. Untrusted.
    pub title: String,
    /// Its severity, as a word.
    pub severity: String,
    /// Not before.
    pub due: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// Why it waits although its time had come.
    pub held: Option<Held>,
    /// Why it waits, in words.
    pub why: &'static str,
    /// There is something to file or to look at in Jira, as far as can be told from here.
    pub files: bool,
}

/// The tickets, by key.
pub async fn tickets(store: &dyn TicketStore) -> Result<Vec<TicketRow>> {
    let mut rows = Vec::new();
    for link in store.all_tickets().await? {
        let finding = store.finding(&link.fingerprint).await?;
        let actions = store.actions(&link.fingerprint).await?;
        let word = |of: fn(&Finding) -> &'static str| finding.as_ref().map_or("", of).to_owned();
        rows.push(TicketRow {
            key: link.issue_key,
            generation: link.generation,
            closed: link.closed,
            orphan: actions
                .iter()
                .any(|one| one.kind == ActionKind::Orphan && one.generation == link.generation),
            severity: word(|one| one.severity.as_str()),
            state: word(|one| one.state.as_str()),
            title: finding.map(|one| one.title).unwrap_or_default(),
            fingerprint: link.fingerprint,
        });
    }
    Ok(rows)
}

/// The findings whose tickets wait, by the time at which they are due. What is filed depends on the settings.
pub async fn waiting(store: &dyn TicketStore, config: Option<&JiraConfig>) -> Result<Vec<WaitingRow>> {
    let mut rows = Vec::new();
    for intent in store.due_intents(Timestamp::MAX, LIMIT, None).await? {
        let finding = store.finding(&intent.fingerprint).await?;
        let without = match (&finding, config) {
            (Some(finding), Some(config)) if store.ticket(&intent.fingerprint).await?.is_none() => {
                not_filed(finding, config)
            }
            _ => None,
        };
        rows.push(WaitingRow {
            why: without.unwrap_or_else(|| waits(&intent, config.is_some())),
            files: without.is_none(),
            severity: finding.as_ref().map_or(String::new(), |one| one.severity.to_string()),
            title: finding.map(|one| one.title).unwrap_or_default(),
            fingerprint: intent.fingerprint,
            due: intent.due,
            attempts: intent.attempts,
            held: intent.held,
        });
    }
    Ok(rows)
}

/// Why a finding without a ticket gets none.
fn not_filed(finding: &Finding, config: &JiraConfig) -> Option<&'static str> {
    let policy = policy(config);
    if !is_seen(finding) {
        Some("it is no longer seen, so there is nothing to file")
    } else if finding.third_party {
        Some("in a frame of another site, which is not filed")
    } else if finding.severity < policy.min_severity {
        Some("below min_severity, which is not filed")
    } else if !policy.files(finding) {
        Some("below min_confidence, which is not filed")
    } else {
        None
    }
}

/// Why what is to be filed, or looked at in Jira, waits.
fn waits(intent: &Intent, configured: bool) -> &'static str {
    match intent.held {
        Some(held) => held.words(),
        None if intent.attempts > 0 => "Jira could not take it; it is tried again by the next run that files tickets",
        None if !configured => "filed by the next run that files tickets, once [jira] says where",
        None => "filed by the next run that files tickets",
    }
}

/// Wishes that all tickets be looked at again. Returns how many.
pub async fn sync(store: &dyn TicketStore, now: Timestamp) -> Result<usize> {
    let all: Vec<Fingerprint> = store
        .all_tickets()
        .await?
        .into_iter()
        .map(|link| link.fingerprint)
        .collect();
    store.wish(&all, now).await?;
    Ok(all.len())
}

/// Lets dead letters be sent again: all, or those of a ticket's key or a finding (its first digits are enough). With
/// `recreate`, a ticket that is gone is replaced by a new one. Returns the findings.
pub async fn retry(
    store: &dyn TicketStore,
    which: Option<&str>,
    recreate: bool,
    now: Timestamp,
) -> Result<Vec<Fingerprint>> {
    let mut chosen: Vec<Fingerprint> = Vec::new();
    for action in store.dead_actions().await? {
        let link = store.ticket(&action.fingerprint).await?;
        let fits = which.is_none_or(|which| {
            named(&action.fingerprint, which) || link.as_ref().is_some_and(|link| link.issue_key == which)
        });
        if fits {
            chosen.push(action.fingerprint.clone());
            let state = ActionState::NotSent;
            store.record_action(&ActionRecord { state, ..action }).await?;
        }
    }
    if recreate && let Some(which) = which {
        for link in store.all_tickets().await? {
            if link.issue_key != which && !named(&link.fingerprint, which) {
                continue;
            }
            store
                .record_action(&ActionRecord {
                    key: format!("{}/{}/recreate", link.fingerprint, link.generation),
                    fingerprint: link.fingerprint.clone(),
                    generation: link.generation,
                    kind: ActionKind::Recreate,
                    state: ActionState::Sent,
                    at: now,
                    error: None,
                    detail: None,
                })
                .await?;
            chosen.push(link.fingerprint);
        }
    }
    chosen.sort();
    chosen.dedup();
    store.wish(&chosen, now).await?;
    Ok(chosen)
}

/// At least six digits, so that one slip does not mean many.
fn named(fingerprint: &Fingerprint, which: &str) -> bool {
    which.len() >= 6 && fingerprint.0.starts_with(&which.to_lowercase())
}

/// Lets the changes go that the circuit breaker holds in a project; for a day it does not trip there again. Returns how
/// many findings they are; `None` if nothing is held there.
pub async fn release(store: &dyn TicketStore, project: &str, now: Timestamp) -> Result<Option<usize>> {
    let Some(hold) = store.holds().await?.into_iter().find(|one| one.project == project) else {
        return Ok(None);
    };
    let released = Some(now);
    store.put_hold(&Hold { released, ..hold }).await?;
    let mut freed = Vec::new();
    for intent in store.due_intents(Timestamp::MAX, LIMIT, None).await? {
        if intent.held == Some(Held::Breaker) {
            freed.push(intent.fingerprint);
        }
    }
    // Those of other projects are held again by the next run.
    store.wish(&freed, now).await?;
    Ok(Some(freed.len()))
}

#[cfg(test)]
mod tests {
    use phantom_checks::{Confidence, Severity};

    use super::*;
    use crate::tickets::testing::{FakeStore, config, finding};
    use crate::triage::FindingState;

    #[tokio::test]
    async fn what_waits_says_why() {
        let mut findings: Vec<Finding> = (1..=5).map(finding).collect();
        findings[1].severity = Severity::Low;
        findings[2].confidence = Confidence::Tentative;
        findings[3].third_party = true;
        findings[4].state = FindingState::NotObserved;
        let why_of = |rows: &[WaitingRow], finding: &Finding| {
            let row = rows.iter().find(|row| row.fingerprint == finding.fingerprint).unwrap();
            (row.why, row.files)
        };
        let mut config = config("http://127.0.0.1:1");
        config.defaults.min_severity = Severity::Medium;
        config.defaults.min_confidence = Confidence::Firm;
        let store = FakeStore::with(findings.clone());
        let rows = waiting(&store, Some(&config)).await.unwrap();
        for (finding, why, files) in [
            (&findings[0], "filed by the next run that files tickets", true),
            (&findings[1], "below min_severity, which is not filed", false),
            (&findings[2], "below min_confidence, which is not filed", false),
            (&findings[3], "in a frame of another site, which is not filed", false),
            (&findings[4], "it is no longer seen, so there is nothing to file", false),
        ] {
            assert_eq!(why_of(&rows, finding), (why, files));
        }
        let rows = waiting(&store, None).await.unwrap();
        assert!(
            rows.iter()
                .all(|row| row.files && row.why.ends_with("once [jira] says where"))
        );
    }
}
