//! Intents, tickets, recorded actions, and the lease on the outbox.

use jiff::Timestamp;

use super::codec::{json, time, unjson, unsigned, unword, word};
use super::dialect::tickets::KNOWN;
use super::{Backend, Result, findings, inward, outward, rows};
use crate::scan::ScanId;
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::Fingerprint;

pub(in super::super) const DUE: &str = "SELECT fingerprint, revision, due, attempts, held FROM intents \
     WHERE due IS NOT NULL AND due <= $1 AND ($3 IS NULL OR fingerprint IN \
         (SELECT fingerprint FROM findings WHERE site = $3)) ORDER BY due LIMIT $2";
pub(in super::super) const WAITING: &str = "SELECT count(*) FROM intents WHERE due IS NOT NULL AND ($1 IS NULL OR fingerprint IN \
     (SELECT fingerprint FROM findings WHERE site = $1))";
pub(in super::super) const DEAD: &str = "SELECT key, fingerprint, generation, kind, state, at, error, detail FROM actions \
     WHERE state = 'dead' ORDER BY at";
pub(in super::super) const OF_FINDING: &str = "SELECT key, fingerprint, generation, kind, state, at, error, detail FROM actions \
     WHERE fingerprint = $1 ORDER BY at, key";
pub(in super::super) const CREATIONS: &str = "SELECT key, fingerprint, generation, kind, state, at, error, detail FROM actions \
     WHERE kind = 'create' AND at >= $1 AND state IN ('sending', 'uncertain', 'sent') ORDER BY at";
/// A page that was recorded under another page's URL is its own way.
pub(in super::super) const WAY: &str = "WITH RECURSIVE way (url, found_on, scan, step) AS ( \
         SELECT p.url, p.found_on, p.scan, 0 FROM scans s JOIN pages p ON p.scan = s.seq \
         WHERE s.id = $1 AND p.key = $2 \
         UNION ALL SELECT p.url, p.found_on, p.scan, w.step + 1 FROM way w \
         JOIN pages p ON p.scan = w.scan AND p.key = w.found_on WHERE w.step < 19) \
     SELECT url FROM way ORDER BY step DESC";
const KEY_OF: &str = "SELECT p.key FROM scans s JOIN pages p ON p.scan = s.seq WHERE s.id = $1 AND p.url = $2 LIMIT 1";
pub(in super::super) const BASELINE: &str = "SELECT min(s.ended) FROM scans s JOIN coverage c ON c.scan = s.seq \
     WHERE s.site = $1 AND c.whole";
pub(in super::super) const NEWEST: &str = "SELECT fingerprint, generation, issue_id, issue_key, linked, closed FROM tickets \
     WHERE fingerprint = $1 ORDER BY generation DESC LIMIT 1";

pub(in super::super) const GENERATIONS: &str = "SELECT fingerprint, generation, issue_id, issue_key, linked, closed FROM tickets \
     WHERE fingerprint = $1 ORDER BY generation";

const ALL_NEWEST: &str = "SELECT fingerprint, generation, issue_id, issue_key, linked, closed FROM tickets t \
     WHERE NOT EXISTS (SELECT 1 FROM tickets later WHERE later.fingerprint = t.fingerprint \
         AND later.generation > t.generation) ORDER BY issue_key";
const HOLD: &str = "UPDATE intents SET due = $3, held = $4 \
     WHERE fingerprint = $1 AND revision = $2 AND due IS NOT NULL";
const PUT_HOLD: &str = "INSERT INTO holds (project, since, changes, tickets, released) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (project) DO UPDATE SET since = excluded.since, changes = excluded.changes, \
         tickets = excluded.tickets, released = excluded.released";
const FINISH: &str =
    "UPDATE intents SET due = NULL, attempts = 0, held = NULL WHERE fingerprint = $1 AND revision = $2";
const POSTPONE: &str = "UPDATE intents SET due = $3, attempts = attempts + 1 \
     WHERE fingerprint = $1 AND revision = $2 AND due IS NOT NULL";
const LINK: &str = "INSERT INTO tickets (fingerprint, generation, issue_id, issue_key, linked, closed) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (fingerprint, generation) DO UPDATE SET \
         issue_id = excluded.issue_id, issue_key = excluded.issue_key, linked = excluded.linked, \
         closed = excluded.closed";
const RECORD: &str = "INSERT INTO actions (key, fingerprint, generation, kind, state, at, error, detail) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO UPDATE SET \
         state = excluded.state, at = excluded.at, error = excluded.error, \
         detail = coalesce(excluded.detail, actions.detail)";
const LEASE: &str = "INSERT INTO outbox (id, owner, until) VALUES (1, $1, $3) \
     ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, until = excluded.until \
     WHERE outbox.owner = excluded.owner OR outbox.until <= $2";

pub(super) async fn due_intents(
    store: &Backend,
    now: Timestamp,
    limit: u32,
    site: Option<&SiteId>,
) -> Result<Vec<Intent>> {
    let rows: Vec<(String, i64, i64, i64, Option<String>)> = sqlx::query_as(DUE)
        .bind(store.there(now))
        .bind(i64::from(limit))
        .bind(site.map(|site| &site.0))
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter()
        .map(|(fingerprint, revision, due, attempts, held)| {
            Ok(Intent {
                fingerprint: Fingerprint(fingerprint),
                revision,
                due: time(store.here(due))?,
                attempts: unsigned(attempts, "the attempts of an intent")?,
                held: held.as_deref().map(unword).transpose()?,
            })
        })
        .collect()
}

pub(super) async fn intent_count(store: &Backend, site: Option<&SiteId>) -> Result<u64> {
    let count = sqlx::query_scalar(WAITING).bind(site.map(|site| &site.0));
    let count: i64 = count.fetch_one(&store.readers).await?;
    unsigned(count, "the number of intents")
}

pub(super) async fn finish_intent(store: &Backend, intent: &Intent) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(FINISH)
        .bind(&intent.fingerprint.0)
        .bind(intent.revision)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn postpone_intent(store: &Backend, intent: &Intent, due: Timestamp) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(POSTPONE)
        .bind(&intent.fingerprint.0)
        .bind(intent.revision)
        .bind(store.there(due))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

#[derive(sqlx::FromRow)]
struct LinkRow {
    fingerprint: String,
    generation: i64,
    issue_id: String,
    issue_key: String,
    linked: i64,
    closed: Option<i64>,
}

impl LinkRow {
    fn link(self) -> Result<TicketLink> {
        Ok(TicketLink {
            fingerprint: Fingerprint(self.fingerprint),
            generation: unsigned(self.generation, "the generation of a ticket")?,
            issue_id: self.issue_id,
            issue_key: self.issue_key,
            linked: time(self.linked)?,
            closed: self.closed.map(time).transpose()?,
        })
    }
}

pub(super) async fn ticket(store: &Backend, fingerprint: &Fingerprint) -> Result<Option<TicketLink>> {
    let row: Option<LinkRow> = sqlx::query_as(NEWEST)
        .bind(&fingerprint.0)
        .fetch_optional(&store.readers)
        .await?;
    row.map(LinkRow::link).transpose()
}

pub(super) async fn tickets_of(store: &Backend, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>> {
    let rows: Vec<LinkRow> = sqlx::query_as(GENERATIONS)
        .bind(&fingerprint.0)
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter().map(LinkRow::link).collect()
}

pub(super) async fn all_tickets(store: &Backend) -> Result<Vec<TicketLink>> {
    let rows: Vec<LinkRow> = sqlx::query_as(ALL_NEWEST).fetch_all(&store.readers).await?;
    rows.into_iter().map(LinkRow::link).collect()
}

pub(super) async fn hold_intent(store: &Backend, intent: &Intent, due: Timestamp, why: Held) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(HOLD)
        .bind(&intent.fingerprint.0)
        .bind(intent.revision)
        .bind(store.there(due))
        .bind(word(&why)?)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn wish(store: &Backend, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let known: Vec<String> = sqlx::query_scalar(KNOWN)
        .bind(rows(fingerprints)?)
        .fetch_all(&mut *tx)
        .await?;
    let known: Vec<Fingerprint> = known.into_iter().map(Fingerprint).collect();
    findings::wish(store, &mut tx, &known.iter().collect::<Vec<_>>(), now).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn actions(store: &Backend, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>> {
    let rows: Vec<ActionRow> = sqlx::query_as(OF_FINDING)
        .bind(&fingerprint.0)
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter().map(ActionRow::record).collect()
}

pub(super) async fn creations(store: &Backend, since: Timestamp) -> Result<Vec<ActionRecord>> {
    let rows: Vec<ActionRow> = sqlx::query_as(CREATIONS)
        .bind(since.as_millisecond())
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter().map(ActionRow::record).collect()
}

pub(super) async fn baseline_end(store: &Backend, site: &SiteId) -> Result<Option<Timestamp>> {
    let ended: Option<i64> = sqlx::query_scalar(BASELINE)
        .bind(&site.0)
        .fetch_one(&store.readers)
        .await?;
    ended.map(time).transpose()
}

pub(super) async fn way_to(store: &Backend, scan: &ScanId, url: &str) -> Result<Vec<String>> {
    let key: Option<String> = sqlx::query_scalar(KEY_OF)
        .bind(&scan.0)
        .bind(url)
        .fetch_optional(&store.readers)
        .await?;
    Ok(sqlx::query_scalar(WAY)
        .bind(&scan.0)
        .bind(key)
        .fetch_all(&store.readers)
        .await?)
}

pub(super) async fn holds(store: &Backend) -> Result<Vec<Hold>> {
    let rows: Vec<(String, i64, i64, i64, Option<i64>)> =
        sqlx::query_as("SELECT project, since, changes, tickets, released FROM holds ORDER BY project")
            .fetch_all(&store.readers)
            .await?;
    rows.into_iter()
        .map(|(project, since, changes, tickets, released)| {
            Ok(Hold {
                project,
                since: time(since)?,
                changes: unsigned(changes, "the changes of a hold")?,
                tickets: unsigned(tickets, "the tickets of a hold")?,
                released: released.map(time).transpose()?,
            })
        })
        .collect()
}

pub(super) async fn put_hold(store: &Backend, hold: &Hold) -> Result<()> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(PUT_HOLD)
        .bind(&hold.project)
        .bind(hold.since.as_millisecond())
        .bind(count(hold.changes))
        .bind(count(hold.tickets))
        .bind(hold.released.map(Timestamp::as_millisecond))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn remove_hold(store: &Backend, project: &str) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query("DELETE FROM holds WHERE project = $1")
        .bind(project)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn link(store: &Backend, link: &TicketLink) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(LINK)
        .bind(&link.fingerprint.0)
        .bind(i64::from(link.generation))
        .bind(&link.issue_id)
        .bind(&link.issue_key)
        .bind(link.linked.as_millisecond())
        .bind(link.closed.map(Timestamp::as_millisecond))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

#[derive(sqlx::FromRow)]
struct ActionRow {
    key: String,
    fingerprint: String,
    generation: i64,
    kind: String,
    state: String,
    at: i64,
    error: Option<String>,
    detail: Option<String>,
}

impl ActionRow {
    fn record(self) -> Result<ActionRecord> {
        Ok(ActionRecord {
            key: self.key,
            fingerprint: Fingerprint(self.fingerprint),
            generation: unsigned(self.generation, "the generation of an action")?,
            kind: unword(&self.kind)?,
            state: unword(&self.state)?,
            at: time(self.at)?,
            error: self.error.map(outward),
            detail: self.detail.map(|text| unjson(&text, "an action")).transpose()?,
        })
    }
}

pub(super) async fn action(store: &Backend, key: &str) -> Result<Option<ActionRecord>> {
    sqlx::query_as::<_, ActionRow>(
        "SELECT key, fingerprint, generation, kind, state, at, error, detail FROM actions WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(&store.readers)
    .await?
    .map(ActionRow::record)
    .transpose()
}

pub(super) async fn record_action(store: &Backend, action: &ActionRecord) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(RECORD)
        .bind(&action.key)
        .bind(&action.fingerprint.0)
        .bind(i64::from(action.generation))
        .bind(word(&action.kind)?)
        .bind(word(&action.state)?)
        .bind(action.at.as_millisecond())
        .bind(action.error.as_deref().map(inward))
        .bind(action.detail.as_ref().map(json).transpose()?)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn dead_actions(store: &Backend) -> Result<Vec<ActionRecord>> {
    let rows: Vec<ActionRow> = sqlx::query_as(DEAD).fetch_all(&store.readers).await?;
    rows.into_iter().map(ActionRow::record).collect()
}

pub(super) async fn lease_outbox(store: &Backend, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    let done = sqlx::query(LEASE)
        .bind(owner)
        .bind(store.there(now))
        .bind(store.there(until))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn release_outbox(store: &Backend, owner: &str) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    sqlx::query("DELETE FROM outbox WHERE owner = $1")
        .bind(owner)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
