//! Intents, tickets, recorded actions, and the lease on the outbox.

use jiff::Timestamp;

use super::super::codec::{time, unsigned, unword, word};
use super::{Result, SqliteStore, immediate};
use crate::tickets::{ActionRecord, Intent, TicketLink};
use crate::triage::Fingerprint;

pub(super) const DUE: &str = "SELECT fingerprint, revision, due, attempts FROM intents \
     WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2";
pub(super) const WAITING: &str = "SELECT count(*) FROM intents WHERE due IS NOT NULL";
pub(super) const DEAD: &str = "SELECT key, fingerprint, generation, kind, state, at, error FROM actions \
     WHERE state = 'dead' ORDER BY at";
pub(super) const NEWEST: &str = "SELECT generation, issue_id, issue_key, linked FROM tickets \
     WHERE fingerprint = ?1 ORDER BY generation DESC LIMIT 1";

const FINISH: &str = "UPDATE intents SET due = NULL, attempts = 0 WHERE fingerprint = ?1 AND revision = ?2";
const POSTPONE: &str = "UPDATE intents SET due = ?3, attempts = attempts + 1 \
     WHERE fingerprint = ?1 AND revision = ?2 AND due IS NOT NULL";
const LINK: &str = "INSERT INTO tickets (fingerprint, generation, issue_id, issue_key, linked) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (fingerprint, generation) DO UPDATE SET \
         issue_id = excluded.issue_id, issue_key = excluded.issue_key, linked = excluded.linked";
const RECORD: &str = "INSERT INTO actions (key, fingerprint, generation, kind, state, at, error) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET \
         state = excluded.state, at = excluded.at, error = excluded.error";
const LEASE: &str = "INSERT INTO outbox (id, owner, until) VALUES (1, ?1, ?3) \
     ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, until = excluded.until \
     WHERE outbox.owner = excluded.owner OR outbox.until <= ?2";

pub(super) async fn due_intents(store: &SqliteStore, now: Timestamp, limit: u32) -> Result<Vec<Intent>> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(DUE)
        .bind(now.as_millisecond())
        .bind(limit)
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter()
        .map(|(fingerprint, revision, due, attempts)| {
            Ok(Intent {
                fingerprint: Fingerprint(fingerprint),
                revision,
                due: time(due)?,
                attempts: unsigned(attempts, "the attempts of an intent")?,
            })
        })
        .collect()
}

pub(super) async fn intent_count(store: &SqliteStore) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(WAITING).fetch_one(&store.readers).await?;
    unsigned(count, "the number of intents")
}

pub(super) async fn finish_intent(store: &SqliteStore, intent: &Intent) -> Result<()> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    sqlx::query(FINISH)
        .bind(&intent.fingerprint.0)
        .bind(intent.revision)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn postpone_intent(store: &SqliteStore, intent: &Intent, due: Timestamp) -> Result<()> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    sqlx::query(POSTPONE)
        .bind(&intent.fingerprint.0)
        .bind(intent.revision)
        .bind(due.as_millisecond())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn ticket(store: &SqliteStore, fingerprint: &Fingerprint) -> Result<Option<TicketLink>> {
    let row: Option<(i64, String, String, i64)> = sqlx::query_as(NEWEST)
        .bind(&fingerprint.0)
        .fetch_optional(&store.readers)
        .await?;
    row.map(|(generation, issue_id, issue_key, linked)| {
        Ok(TicketLink {
            fingerprint: fingerprint.clone(),
            generation: unsigned(generation, "the generation of a ticket")?,
            issue_id,
            issue_key,
            linked: time(linked)?,
        })
    })
    .transpose()
}

pub(super) async fn link(store: &SqliteStore, link: &TicketLink) -> Result<()> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    sqlx::query(LINK)
        .bind(&link.fingerprint.0)
        .bind(link.generation)
        .bind(&link.issue_id)
        .bind(&link.issue_key)
        .bind(link.linked.as_millisecond())
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
            error: self.error,
        })
    }
}

pub(super) async fn action(store: &SqliteStore, key: &str) -> Result<Option<ActionRecord>> {
    sqlx::query_as::<_, ActionRow>(
        "SELECT key, fingerprint, generation, kind, state, at, error FROM actions WHERE key = ?1",
    )
    .bind(key)
    .fetch_optional(&store.readers)
    .await?
    .map(ActionRow::record)
    .transpose()
}

pub(super) async fn record_action(store: &SqliteStore, action: &ActionRecord) -> Result<()> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    sqlx::query(RECORD)
        .bind(&action.key)
        .bind(&action.fingerprint.0)
        .bind(action.generation)
        .bind(word(&action.kind)?)
        .bind(word(&action.state)?)
        .bind(action.at.as_millisecond())
        .bind(&action.error)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn dead_actions(store: &SqliteStore) -> Result<Vec<ActionRecord>> {
    let rows: Vec<ActionRow> = sqlx::query_as(DEAD).fetch_all(&store.readers).await?;
    rows.into_iter().map(ActionRow::record).collect()
}

pub(super) async fn lease_outbox(store: &SqliteStore, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.relaxed).await?;
    let done = sqlx::query(LEASE)
        .bind(owner)
        .bind(now.as_millisecond())
        .bind(until.as_millisecond())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn release_outbox(store: &SqliteStore, owner: &str) -> Result<()> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.relaxed).await?;
    sqlx::query("DELETE FROM outbox WHERE owner = ?1")
        .bind(owner)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
