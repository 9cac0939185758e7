//! What the processes that share a store tell each other of its scans.

use std::time::Duration;

use jiff::Timestamp;

use super::codec::{json, millis, time, unjson, unsigned, unword, word};
use super::{
    Backend, Connection, Result, inward, lock_name, lock_scan, migrations, no_such_scan, outward, rows, scans,
    tell_of_pages, tell_of_scans, versions,
};
use crate::crawl::NewPage;
use crate::scan::{AuditEntry, Beat, Pulse, ScanCounts, ScanId, ScanLine, ScanOwner, ScanRecord, WhichScans, Wish};
use crate::site::SiteId;

pub(in super::super) const RUNNING: &str = "SELECT s.id, s.site, s.trigger, s.state, s.started, s.ended, s.owner, s.owner_until, \
         s.wish, s.pool, c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq WHERE s.state = 'running' ORDER BY s.started LIMIT $1";

pub(in super::super) const OPEN: &str = "SELECT s.id, s.site, s.trigger, s.state, s.started, s.ended, s.owner, s.owner_until, \
         s.wish, s.pool, c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq \
     WHERE s.state <> 'complete' AND (s.state = 'running' \
         OR s.state = 'interrupted' AND (s.wish = 'pause' OR s.wish IS NULL AND s.trigger = 'nightly')) \
     ORDER BY s.started DESC LIMIT $1";

pub(in super::super) const ONE: &str = "SELECT s.id, s.site, s.trigger, s.state, s.started, s.ended, s.owner, s.owner_until, \
         s.wish, s.pool, c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq WHERE s.id = $1";

const NEWEST: &str = "SELECT s.id, s.site, s.trigger, s.state, s.started, s.ended, s.owner, s.owner_until, \
         s.wish, s.pool, c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq ORDER BY s.seq DESC LIMIT $1";

pub(in super::super) use super::dialect::fleet::FREE_LEASES;

pub(in super::super) const KEEP_LEASES: &str = "UPDATE pages SET lease_until = $3 \
     WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND state = 'leased' AND owner = $2";

/// Said twice, because the answer was lost, it is the same as once.
const HAND_OVER: &str = "UPDATE scans SET owner = $3, owner_until = $4 \
     WHERE id = $1 AND (owner IS NOT DISTINCT FROM $2 OR owner = $3)";

/// Said twice, because the answer was lost, it is the same as once.
const RESUME: &str = "UPDATE scans SET state = 'running', ended = NULL, wish = NULL, owner = $3, owner_until = $4 \
     WHERE id = $1 AND state <> 'complete' AND (owner IS NOT DISTINCT FROM $2 AND wish IS NOT DISTINCT FROM $5 \
         OR owner = $3 AND wish IS NULL AND state = 'running')";

/// Said twice, because the answer was lost, it is the same as once.
const LET_GO_ON: &str = "UPDATE scans SET state = 'running', ended = NULL, wish = NULL, owner = NULL, owner_until = $3 \
     WHERE id = $1 AND (owner IS NOT DISTINCT FROM $2 OR owner IS NULL) AND state IN ('running', 'interrupted')";

const KEEP_SCAN: &str = "UPDATE scans SET owner_until = $3, worked = worked + $4 \
     WHERE id = $1 AND owner = $2 AND state = 'running'";

pub(in super::super) const NIGHTLY_SINCE: &str = "SELECT id FROM scans \
     WHERE site = $1 AND started >= $2 AND trigger = 'nightly'";

pub(in super::super) const LAST_NIGHTLY: &str = "SELECT s.id, s.site, s.trigger, s.state, s.started, s.ended, s.owner, s.owner_until, \
         s.wish, s.pool, c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq \
     WHERE s.site = $1 AND s.trigger = 'nightly' ORDER BY s.started DESC LIMIT 1";

#[derive(sqlx::FromRow)]
struct LineRow {
    id: String,
    site: String,
    trigger: String,
    state: String,
    started: i64,
    ended: Option<i64>,
    owner: Option<String>,
    owner_until: Option<i64>,
    wish: Option<String>,
    pool: String,
    waiting: i64,
    leased: i64,
    done: i64,
    failed: i64,
    skipped: i64,
}

pub(super) async fn scan_lines(store: &Backend, which: WhichScans, limit: u32) -> Result<Vec<ScanLine>> {
    let query = match which {
        WhichScans::Running => RUNNING,
        WhichScans::Open => OPEN,
        WhichScans::All => NEWEST,
    };
    let rows: Vec<LineRow> = sqlx::query_as(query)
        .bind(i64::from(limit))
        .fetch_all(&store.readers)
        .await?;
    rows.into_iter().map(|row| row.line(store)).collect()
}

pub(super) async fn scan_line(store: &Backend, id: &ScanId) -> Result<Option<ScanLine>> {
    let row: Option<LineRow> = sqlx::query_as(ONE).bind(&id.0).fetch_optional(&store.readers).await?;
    row.map(|row| row.line(store)).transpose()
}

impl LineRow {
    fn line(self, store: &Backend) -> Result<ScanLine> {
        let row = self;
        Ok(ScanLine {
            id: ScanId(row.id),
            site: SiteId(row.site),
            trigger: unword(&row.trigger)?,
            state: unword(&row.state)?,
            started: time(row.started)?,
            ended: row.ended.map(time).transpose()?,
            owner: row.owner,
            owner_until: row.owner_until.map(|until| time(store.here(until))).transpose()?,
            wish: row.wish.as_deref().map(unword).transpose()?,
            pool: row.pool,
            counts: ScanCounts {
                waiting: unsigned(row.waiting, "the number of waiting pages")?,
                leased: unsigned(row.leased, "the number of leased pages")?,
                done: unsigned(row.done, "the number of done pages")?,
                failed: unsigned(row.failed, "the number of failed pages")?,
                skipped: unsigned(row.skipped, "the number of skipped pages")?,
            },
        })
    }
}

pub(super) async fn owner(store: &Backend, id: &ScanId) -> Result<Option<ScanOwner>> {
    let found: Option<(Option<String>, Option<i64>)> =
        sqlx::query_as("SELECT owner, owner_until FROM scans WHERE id = $1")
            .bind(&id.0)
            .fetch_optional(&store.readers)
            .await?;
    let Some((Some(name), until)) = found else {
        return Ok(None);
    };
    Ok(Some(ScanOwner {
        name,
        until: until.map(|until| time(store.here(until))).transpose()?,
    }))
}

pub(super) async fn hand_over(
    store: &Backend,
    id: &ScanId,
    from: Option<&str>,
    to: Option<&str>,
    until: Timestamp,
) -> Result<bool> {
    let mut writers = store.writer().await?;
    let until = store.there(until);
    let mut tx = writers.durable().await?;
    let done = sqlx::query(HAND_OVER)
        .bind(&id.0)
        .bind(from)
        .bind(to)
        .bind(until)
        .execute(&mut *tx)
        .await?;
    if to.is_none() {
        tell_of_scans(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn resume(
    store: &Backend,
    id: &ScanId,
    from: Option<&str>,
    wish: Option<Wish>,
    to: &str,
    until: Timestamp,
) -> Result<bool> {
    let mut writers = store.writer().await?;
    let until = store.there(until);
    let mut tx = writers.durable().await?;
    let done = sqlx::query(RESUME)
        .bind(&id.0)
        .bind(from)
        .bind(to)
        .bind(until)
        .bind(wish.as_ref().map(word).transpose()?)
        .execute(&mut *tx)
        .await?;
    tell_of_scans(&mut tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn beat(store: &Backend, pulse: &Pulse<'_>) -> Result<Beat> {
    let mut writers = store.writer().await?;
    let (leases_until, scan_until) = (store.there(pulse.leases_until), store.there(pulse.scan_until));
    let mut tx = writers.relaxed().await?;
    // As everybody who changes pages of a scan does, so that nobody waits in a circle.
    lock_scan(&mut tx, pulse.scan).await?;
    let freed = sqlx::query(FREE_LEASES)
        .bind(&pulse.scan.0)
        .bind(pulse.owner)
        .bind(rows(pulse.held)?)
        .execute(&mut *tx)
        .await?;
    if freed.rows_affected() > 0 {
        tell_of_pages(&mut tx, pulse.scan).await?;
    }
    sqlx::query(KEEP_LEASES)
        .bind(&pulse.scan.0)
        .bind(pulse.owner)
        .bind(leases_until)
        .execute(&mut *tx)
        .await?;
    let kept = sqlx::query(KEEP_SCAN)
        .bind(&pulse.scan.0)
        .bind(pulse.owner)
        .bind(scan_until)
        .bind(millis(pulse.worked))
        .execute(&mut *tx)
        .await?;
    let (state, wish, worked, least): (String, Option<String>, i64, i64) =
        sqlx::query_as("SELECT state, wish, worked, (SELECT least FROM installation) FROM scans WHERE id = $1")
            .bind(&pulse.scan.0)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| no_such_scan(pulse.scan))?;
    tx.commit().await?;
    versions::fits(least, &migrations())?;
    Ok(Beat {
        owned: kept.rows_affected() == 1,
        state: unword(&state)?,
        wish: wish.as_deref().map(unword).transpose()?,
        worked: Duration::from_millis(unsigned(worked, "the time of a scan")?),
    })
}

pub(super) async fn set_wish(store: &Backend, id: &ScanId, wish: Option<Wish>) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let done =
        sqlx::query("UPDATE scans SET wish = $2 WHERE id = $1 AND (state IN ('running', 'interrupted') OR $2 IS NULL)")
            .bind(&id.0)
            .bind(wish.as_ref().map(word).transpose()?)
            .execute(&mut *tx)
            .await?;
    tell_of_scans(&mut tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn let_go_on(store: &Backend, id: &ScanId, owner: Option<&str>, now: Timestamp) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let done = sqlx::query(LET_GO_ON)
        .bind(&id.0)
        .bind(owner)
        .bind(store.there(now))
        .execute(&mut *tx)
        .await?;
    tell_of_scans(&mut tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn add_remarks(store: &Backend, id: &ScanId, remarks: &[String]) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, id).await?;
    let all = with_kept(&mut tx, id, remarks).await?;
    sqlx::query("UPDATE scans SET remarks = $2 WHERE id = $1")
        .bind(&id.0)
        .bind(json(&all)?)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// These remarks and those that are kept of a scan already.
pub(super) async fn with_kept(connection: &mut Connection, id: &ScanId, remarks: &[String]) -> Result<Vec<String>> {
    let kept: String = sqlx::query_scalar("SELECT remarks FROM scans WHERE id = $1")
        .bind(&id.0)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| no_such_scan(id))?;
    let mut all: Vec<String> = unjson(&outward(kept), &format!("the remarks of scan {id}"))?;
    all.extend(remarks.iter().cloned());
    all.sort_unstable();
    all.dedup();
    all.truncate(crate::scan::MOST_REMARKS);
    Ok(all)
}

pub(super) async fn create_nightly(
    store: &Backend,
    scan: &ScanRecord,
    pages: &[NewPage],
    since: Timestamp,
    owner: &ScanOwner,
    told: &AuditEntry,
) -> Result<bool> {
    let mut writers = store.writer().await?;
    let until = owner.until.map(|until| store.there(until));
    let mut tx = writers.durable().await?;
    lock_name(&mut tx, &format!("nightly {}", scan.site.id)).await?;
    let begun: Vec<String> = sqlx::query_scalar(NIGHTLY_SINCE)
        .bind(&scan.site.id.0)
        .bind(since.as_millisecond())
        .fetch_all(&mut *tx)
        .await?;
    if !begun.is_empty() {
        // By us, if the answer was lost and this is asked again.
        return Ok(begun.contains(&scan.id.0));
    }
    scans::insert(&mut tx, scan, pages).await?;
    sqlx::query(HAND_OVER)
        .bind(&scan.id.0)
        .bind(None::<&str>)
        .bind(&owner.name)
        .bind(until)
        .execute(&mut *tx)
        .await?;
    insert_audit(&mut tx, told).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn last_nightly(store: &Backend, site: &SiteId) -> Result<Option<ScanLine>> {
    let row: Option<LineRow> = sqlx::query_as(LAST_NIGHTLY)
        .bind(&site.0)
        .fetch_optional(&store.readers)
        .await?;
    row.map(|row| row.line(store)).transpose()
}

pub(super) async fn audit(store: &Backend, entry: &AuditEntry) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    insert_audit(&mut tx, entry).await?;
    Ok(tx.commit().await?)
}

async fn insert_audit(connection: &mut Connection, entry: &AuditEntry) -> Result<()> {
    sqlx::query("INSERT INTO audit (at, who, what, subject, why) VALUES ($1, $2, $3, $4, $5)")
        .bind(entry.at.as_millisecond())
        .bind(inward(&entry.who))
        .bind(inward(&entry.what))
        .bind(inward(&entry.subject))
        .bind(entry.why.as_deref().map(inward))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn audit_log(store: &Backend, limit: u32) -> Result<Vec<AuditEntry>> {
    let rows: Vec<(i64, String, String, String, Option<String>)> =
        sqlx::query_as("SELECT at, who, what, subject, why FROM audit ORDER BY seq DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&store.readers)
            .await?;
    let entry = |(at, who, what, subject, why): (i64, String, String, String, Option<String>)| {
        Ok(AuditEntry {
            at: time(at)?,
            who: outward(who),
            what: outward(what),
            subject: outward(subject),
            why: why.map(outward),
        })
    };
    rows.into_iter().map(entry).collect()
}
