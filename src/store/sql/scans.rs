//! Scans and their pages, as reports see them.

use jiff::Timestamp;

use super::codec::{json, time, unjson, unsigned, unword, word};
use super::versions::{self, ASK};
use super::{Backend, Connection, Result, StoreError, frontier, migrations, no_such_scan, outward, tell_of_scans};
use crate::crawl::{NewPage, PageKey, PageRow, PageState, SeenHost};
use crate::scan::{ScanCounts, ScanId, ScanRecord, ScanState};
use crate::site::SiteId;

pub(in super::super) const UNFINISHED: &str = "SELECT id, spec, trigger, state, started, ended, remarks FROM scans s \
     WHERE state <> 'complete' AND trigger <> 'verify' AND NOT EXISTS (SELECT 1 FROM scans later \
         WHERE later.site = s.site AND later.started > s.started AND later.state = 'complete' \
         AND later.trigger <> 'verify') ORDER BY started DESC, seq DESC LIMIT 1";
pub(in super::super) const UNFINISHED_OF_SITE: &str = "SELECT id, spec, trigger, state, started, ended, remarks FROM scans s \
     WHERE site = $1 AND state <> 'complete' AND trigger <> 'verify' AND NOT EXISTS (SELECT 1 FROM scans later \
         WHERE later.site = s.site AND later.started > s.started AND later.state = 'complete' \
         AND later.trigger <> 'verify') ORDER BY started DESC, seq DESC LIMIT 1";
pub(in super::super) const NEWEST: &str = "SELECT id, spec, trigger, state, started, ended, remarks FROM scans \
     WHERE ($1 IS NULL OR site = $1) AND trigger <> 'verify' ORDER BY started DESC, seq DESC LIMIT 1";
pub(in super::super) const COUNTS: &str = "SELECT c.waiting, c.leased, c.done, c.failed, c.skipped \
     FROM scans s JOIN scan_counts c ON c.scan = s.seq WHERE s.id = $1";
pub(in super::super) const PAGES: &str = "SELECT p.key, p.url, p.reason, p.redirected_to \
     FROM scans s JOIN pages p ON p.scan = s.seq WHERE s.id = $1 AND p.state = $2 ORDER BY p.key LIMIT $3";

pub(in super::super) const HOSTS: &str = "SELECT h.host, h.page FROM scans s JOIN scan_hosts h ON h.scan = s.seq \
     WHERE s.id = $1 ORDER BY h.host";

#[derive(sqlx::FromRow)]
struct ScanRow {
    id: String,
    spec: String,
    trigger: String,
    state: String,
    started: i64,
    ended: Option<i64>,
    remarks: String,
}

impl ScanRow {
    fn record(self) -> Result<ScanRecord> {
        Ok(ScanRecord {
            site: unjson(&self.spec, &format!("the site of scan {}", self.id))?,
            trigger: unword(&self.trigger)?,
            state: unword(&self.state)?,
            started: time(self.started)?,
            ended: self.ended.map(time).transpose()?,
            remarks: unjson(&self.remarks, &format!("the remarks of scan {}", self.id))?,
            id: ScanId(self.id),
        })
    }
}

/// The small number of a scan.
pub(super) async fn seq(connection: &mut Connection, id: &ScanId) -> Result<i64> {
    sqlx::query_scalar("SELECT seq FROM scans WHERE id = $1")
        .bind(&id.0)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| no_such_scan(id))
}

pub(super) async fn salt(store: &Backend) -> Result<[u8; 32]> {
    let salt: Vec<u8> = sqlx::query_scalar("SELECT salt FROM installation WHERE id = 1")
        .fetch_one(&store.readers)
        .await?;
    salt.try_into()
        .map_err(|_| StoreError::Corrupt("the installation's salt has a wrong length".to_owned()))
}

pub(super) async fn fits(store: &Backend) -> Result<()> {
    let least = sqlx::query_scalar(ASK).fetch_one(&store.readers).await?;
    versions::fits(least, &migrations())
}

pub(super) async fn create(store: &Backend, scan: &ScanRecord, pages: &[NewPage]) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    insert(&mut tx, scan, pages).await?;
    Ok(tx.commit().await?)
}

/// Adds a scan with its start pages.
pub(super) async fn insert(connection: &mut Connection, scan: &ScanRecord, pages: &[NewPage]) -> Result<()> {
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO scans (id, site, spec, trigger, state, started, ended, remarks, pool) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq",
    )
    .bind(&scan.id.0)
    .bind(&scan.site.id.0)
    .bind(json(&scan.site)?)
    .bind(word(&scan.trigger)?)
    .bind(word(&scan.state)?)
    .bind(scan.started.as_millisecond())
    .bind(scan.ended.map(Timestamp::as_millisecond))
    .bind(json(&scan.remarks)?)
    .bind(scan.site.pool())
    .fetch_one(&mut *connection)
    .await?;
    frontier::insert(connection, seq, pages).await?;
    tell_of_scans(connection).await
}

pub(super) async fn one(store: &Backend, id: &ScanId) -> Result<Option<ScanRecord>> {
    sqlx::query_as::<_, ScanRow>("SELECT id, spec, trigger, state, started, ended, remarks FROM scans WHERE id = $1")
        .bind(&id.0)
        .fetch_optional(&store.readers)
        .await?
        .map(ScanRow::record)
        .transpose()
}

pub(super) async fn unfinished(store: &Backend, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
    let query = match site {
        Some(site) => sqlx::query_as::<_, ScanRow>(UNFINISHED_OF_SITE).bind(&site.0),
        None => sqlx::query_as::<_, ScanRow>(UNFINISHED),
    };
    let row = query.fetch_optional(&store.readers).await?;
    row.map(ScanRow::record).transpose()
}

pub(super) async fn newest(store: &Backend, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
    sqlx::query_as::<_, ScanRow>(NEWEST)
        .bind(site.map(|site| &site.0))
        .fetch_optional(&store.readers)
        .await?
        .map(ScanRow::record)
        .transpose()
}

pub(super) async fn set_state(
    store: &Backend,
    id: &ScanId,
    state: ScanState,
    ended: Option<Timestamp>,
    remarks: &[String],
) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let changed = sqlx::query("UPDATE scans SET state = $2, ended = $3, remarks = $4 WHERE id = $1")
        .bind(&id.0)
        .bind(word(&state)?)
        .bind(ended.map(Timestamp::as_millisecond))
        .bind(json(remarks)?)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if changed == 0 {
        return Err(no_such_scan(id));
    }
    Ok(tx.commit().await?)
}

pub(super) async fn counts(store: &Backend, id: &ScanId) -> Result<ScanCounts> {
    let (waiting, leased, done, failed, skipped): (i64, i64, i64, i64, i64) = sqlx::query_as(COUNTS)
        .bind(&id.0)
        .fetch_optional(&store.readers)
        .await?
        .ok_or_else(|| no_such_scan(id))?;
    Ok(ScanCounts {
        waiting: unsigned(waiting, "the number of waiting pages")?,
        leased: unsigned(leased, "the number of leased pages")?,
        done: unsigned(done, "the number of done pages")?,
        failed: unsigned(failed, "the number of failed pages")?,
        skipped: unsigned(skipped, "the number of skipped pages")?,
    })
}

pub(super) async fn pages(store: &Backend, id: &ScanId, state: PageState, limit: u32) -> Result<Vec<PageRow>> {
    let rows: Vec<(String, String, Option<String>, Option<String>)> = sqlx::query_as(PAGES)
        .bind(&id.0)
        .bind(word(&state)?)
        .bind(i64::from(limit))
        .fetch_all(&store.readers)
        .await?;
    let row = |(key, url, reason, redirected_to): (String, String, Option<String>, Option<String>)| PageRow {
        key: PageKey(key),
        url,
        state,
        reason: reason.map(outward),
        redirected_to,
    };
    Ok(rows.into_iter().map(row).collect())
}

pub(super) async fn hosts(store: &Backend, id: &ScanId) -> Result<Vec<SeenHost>> {
    let rows: Vec<(String, String)> = sqlx::query_as(HOSTS).bind(&id.0).fetch_all(&store.readers).await?;
    Ok(rows.into_iter().map(|(host, page)| SeenHost { host, page }).collect())
}
