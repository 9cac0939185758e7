//! The end of a scan: where its findings stand, how much it looked at, and the record of all that through time.

use jiff::Timestamp;

use super::codec::{json, time, unjson, unsigned, unword, word};
use super::dialect::triage::TELL;
use super::{Backend, Connection, Result, findings, fleet, lock_scan, outward, rows, scans};
use crate::scan::{ScanClose, ScanId};
use crate::site::SiteId;
use crate::triage::{Coverage, Finding, FindingEvent, FindingState, Fingerprint, Judgement, PageLook};

pub(in super::super) const LOOKS: &str = "SELECT p.url, p.state, p.redirected_to IS NOT NULL AS redirected, \
         p.status, p.complete, p.forms, p.reason, p.failed_checks, p.obstacle, p.logged_in, \
         CASE WHEN p.unchanged THEN p.looked_at END AS unchanged \
     FROM scans s JOIN pages p ON p.scan = s.seq WHERE s.id = $1 ORDER BY p.key";

pub(in super::super) const COVERAGES: &str = "SELECT c.data FROM scans s JOIN coverage c ON c.scan = s.seq \
     WHERE s.site = $1 AND c.whole AND s.id <> $2 ORDER BY s.started DESC, s.seq DESC LIMIT $3";

pub(in super::super) const EVENTS: &str = "SELECT at, scan, from_state, to_state, why FROM finding_events \
     WHERE fingerprint = $1 ORDER BY seq";

const COVER: &str = "INSERT INTO coverage (scan, whole, data) VALUES ($1, $2, $3) \
     ON CONFLICT (scan) DO UPDATE SET whole = excluded.whole, data = excluded.data";

/// A change of a finding's state.
pub(super) struct Change {
    pub fingerprint: Fingerprint,
    pub from: Option<FindingState>,
    pub to: FindingState,
    pub why: String,
}

/// Records changes of states.
pub(super) async fn tell(
    connection: &mut Connection,
    changes: &[Change],
    scan: Option<&ScanId>,
    now: Timestamp,
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = changes
        .iter()
        .map(|change| (&change.fingerprint, change.from, change.to, &change.why))
        .collect();
    sqlx::query(TELL)
        .bind(rows(&told)?)
        .bind(now.as_millisecond())
        .bind(scan.map(|scan| &scan.0))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn close_scan(store: &Backend, close: &ScanClose<'_>) -> Result<Option<u64>> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    lock_scan(&mut tx, close.scan).await?;
    let seq = scans::seq(&mut tx, close.scan).await?;
    let remarks = fleet::with_kept(&mut tx, close.scan, close.remarks).await?;
    let closed = sqlx::query(
        "UPDATE scans SET state = $2, ended = $3, remarks = $4 WHERE seq = $1 AND owner IS NOT DISTINCT FROM $5",
    )
    .bind(seq)
    .bind(word(&close.state)?)
    .bind(close.ended.as_millisecond())
    .bind(json(&remarks)?)
    .bind(close.owner)
    .execute(&mut *tx)
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query(COVER)
        .bind(seq)
        .bind(close.coverage.whole)
        .bind(json(close.coverage)?)
        .execute(&mut *tx)
        .await?;
    let changed = save_judged(store, &mut tx, close.judgements, Some(close.scan), close.ended).await?;
    tx.commit().await?;
    Ok(Some(changed))
}

pub(super) async fn judge(store: &Backend, judgements: &[Judgement], now: Timestamp) -> Result<u64> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let changed = save_judged(store, &mut tx, judgements, None, now).await?;
    tx.commit().await?;
    Ok(changed)
}

async fn save_judged(
    store: &Backend,
    connection: &mut Connection,
    judgements: &[Judgement],
    scan: Option<&ScanId>,
    now: Timestamp,
) -> Result<u64> {
    let mut changes = Vec::new();
    let mut saved = Vec::new();
    for judgement in judgements {
        // What changed since it was judged was judged by somebody who knew more.
        let known = findings::one_in(connection, &judgement.before.fingerprint).await?;
        if known.as_ref() != Some(&judgement.before) {
            continue;
        }
        if judgement.before.state != judgement.after.state {
            changes.push(Change {
                fingerprint: judgement.after.fingerprint.clone(),
                from: Some(judgement.before.state),
                to: judgement.after.state,
                why: judgement.why.to_string(),
            });
        }
        saved.push(judgement.after.clone());
    }
    save_changed(store, connection, &saved, &changes, scan, now).await?;
    Ok(changes.len() as u64)
}

/// Saves findings, tells what changed of them, and wishes for the tickets of those whose state did.
pub(super) async fn save_changed(
    store: &Backend,
    connection: &mut Connection,
    saved: &[Finding],
    changes: &[Change],
    scan: Option<&ScanId>,
    now: Timestamp,
) -> Result<()> {
    if !saved.is_empty() {
        findings::save(connection, saved).await?;
    }
    tell(connection, changes, scan, now).await?;
    let wishes: Vec<&Fingerprint> = changes.iter().map(|change| &change.fingerprint).collect();
    findings::wish(store, connection, &wishes, now).await
}

#[derive(sqlx::FromRow)]
struct LookRow {
    url: String,
    state: String,
    redirected: bool,
    status: Option<i64>,
    complete: Option<bool>,
    forms: Option<i64>,
    reason: Option<String>,
    failed_checks: Option<String>,
    obstacle: Option<String>,
    logged_in: Option<bool>,
    unchanged: Option<i64>,
}

impl LookRow {
    fn look(self) -> Result<PageLook> {
        let failed_checks = match &self.failed_checks {
            Some(text) => unjson(text, &format!("the failed checks of {}", self.url))?,
            None => Vec::new(),
        };
        Ok(PageLook {
            state: unword(&self.state)?,
            redirected: self.redirected,
            status: self
                .status
                .map(|status| unsigned(status, "the status of a page"))
                .transpose()?,
            full: self.complete.unwrap_or(false),
            forms: unsigned(self.forms.unwrap_or(0), "the forms of a page")?,
            reason: self.reason.map(outward),
            failed_checks,
            obstacle: self.obstacle,
            logged_in: self.logged_in,
            unchanged: self.unchanged.map(time).transpose()?,
            url: self.url,
        })
    }
}

pub(super) async fn looks(store: &Backend, scan: &ScanId) -> Result<Vec<PageLook>> {
    let rows: Vec<LookRow> = sqlx::query_as(LOOKS).bind(&scan.0).fetch_all(&store.readers).await?;
    rows.into_iter().map(LookRow::look).collect()
}

pub(super) async fn coverages(store: &Backend, site: &SiteId, but: &ScanId, limit: u32) -> Result<Vec<Coverage>> {
    let rows: Vec<String> = sqlx::query_scalar(COVERAGES)
        .bind(&site.0)
        .bind(&but.0)
        .bind(i64::from(limit))
        .fetch_all(&store.readers)
        .await?;
    rows.iter().map(|row| unjson(row, "the coverage of a scan")).collect()
}

pub(super) async fn events(store: &Backend, fingerprint: &Fingerprint) -> Result<Vec<FindingEvent>> {
    let rows: Vec<EventRow> = sqlx::query_as(EVENTS)
        .bind(&fingerprint.0)
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(FindingEvent {
                at: time(row.at)?,
                scan: row.scan.map(ScanId),
                from: row.from_state.as_deref().map(unword).transpose()?,
                to: unword(&row.to_state)?,
                why: outward(row.why),
            })
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct EventRow {
    at: i64,
    scan: Option<String>,
    from_state: Option<String>,
    to_state: String,
    why: String,
}
