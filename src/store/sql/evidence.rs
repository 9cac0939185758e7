//! Evidence and script texts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use phantom_checks::evidence::Evidence;

use super::codec::{time, unpack};
pub(in super::super) use super::dialect::evidence::BODIES;
use super::{Backend, Result, StoreError, Writers, outward, rows};
use crate::crawl::{PageKey, PageMark, PastLook};
use crate::scan::ScanId;
use crate::site::SiteId;

/// Rows deleted in one transaction, so that pruning never holds other writers up for long.
const BATCH: i64 = 500;

pub(in super::super) const ONE: &str = "SELECT e.data FROM scans s JOIN pages p ON p.scan = s.seq JOIN evidence e ON e.page = p.id \
     WHERE s.id = $1 AND p.key = $2";

/// The scans beyond the newest `$1` of their site that still have evidence. What merely looked at a finding again is
/// small, and pushes no scan out.
pub(in super::super) const SURPLUS: &str = "SELECT r.seq FROM ( \
         SELECT seq, row_number() OVER (PARTITION BY site ORDER BY started DESC, seq DESC) AS age \
         FROM scans WHERE trigger <> 'verify') r \
     WHERE r.age > $1 AND EXISTS (SELECT 1 FROM evidence e WHERE e.scan = r.seq)";

pub(in super::super) const DROP_OF_SCAN: &str = "DELETE FROM evidence WHERE page IN ( \
     SELECT page FROM evidence WHERE scan = $1 LIMIT $2)";

pub(in super::super) const DROP_OLD: &str = "DELETE FROM evidence WHERE page IN ( \
     SELECT page FROM evidence WHERE stored < $1 LIMIT $2)";

/// A running scan keeps its names: its workers do not send a text twice.
const DROP_NAMES: &str = "DELETE FROM scan_bodies WHERE scan IN ( \
     SELECT n.scan FROM (SELECT DISTINCT scan FROM scan_bodies) n JOIN scans s ON s.seq = n.scan \
     WHERE s.state <> 'running' AND NOT EXISTS (SELECT 1 FROM evidence e WHERE e.scan = n.scan))";

/// Among the last scans of a site alone: a page that they did not look at is looked at now.
pub(in super::super) const PAST: &str = "SELECT w.id, p.looked_at, p.basis, p.unchanged, e.data FROM ( \
         SELECT seq, id, started FROM scans WHERE site = $1 AND id <> $3 AND trigger <> 'verify' \
         ORDER BY started DESC LIMIT 5) w \
     JOIN pages p ON p.scan = w.seq AND p.key = $2 JOIN evidence e ON e.page = p.id \
     WHERE p.basis IS NOT NULL ORDER BY w.started DESC LIMIT 1";

const DROP_BODIES: &str = "DELETE FROM bodies WHERE hash IN ( \
     SELECT b.hash FROM bodies b WHERE NOT EXISTS (SELECT 1 FROM scan_bodies n WHERE n.hash = b.hash) LIMIT $1)";

pub(super) async fn one(store: &Backend, scan: &ScanId, page: &PageKey) -> Result<Option<Evidence>> {
    let packed: Option<Vec<u8>> = sqlx::query_scalar(ONE)
        .bind(&scan.0)
        .bind(&page.0)
        .fetch_optional(&store.readers)
        .await?;
    packed.map(|packed| read(&packed, page, &scan.0)).transpose()
}

#[derive(sqlx::FromRow)]
struct PastRow {
    id: String,
    looked_at: i64,
    basis: String,
    unchanged: bool,
    data: Vec<u8>,
}

pub(super) async fn past(store: &Backend, site: &SiteId, page: &PageKey, but: &ScanId) -> Result<Option<PastLook>> {
    let row: Option<PastRow> = sqlx::query_as(PAST)
        .bind(&site.0)
        .bind(&page.0)
        .bind(&but.0)
        .fetch_optional(&store.readers)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(PastLook {
        evidence: read(&row.data, page, &row.id)?,
        mark: PageMark {
            basis: row.basis,
            looked_at: time(row.looked_at)?,
            unchanged: row.unchanged,
        },
    }))
}

fn read(packed: &[u8], page: &PageKey, scan: &str) -> Result<Evidence> {
    let what = format!("the evidence of {page} in scan {scan}");
    serde_json::from_slice(&unpack(packed, &what)?).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

pub(super) async fn bodies(store: &Backend, hashes: &[String]) -> Result<BTreeMap<String, String>> {
    let found: Vec<(String, Vec<u8>)> = sqlx::query_as(BODIES)
        .bind(rows(hashes)?)
        .fetch_all(&store.readers)
        .await?;
    found
        .into_iter()
        .map(|(hash, packed)| {
            let hash = outward(hash);
            let what = format!("the script text {hash}");
            let text = String::from_utf8(unpack(&packed, &what)?)
                .map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))?;
            Ok((hash, text))
        })
        .collect()
}

pub(super) async fn prune(store: &Backend, keep_scans: u32, before: Timestamp) -> Result<()> {
    let surplus: Vec<i64> = sqlx::query_scalar(SURPLUS)
        .bind(i64::from(keep_scans))
        .fetch_all(&store.readers)
        .await?;
    for scan in surplus {
        drop_in_batches(store, DROP_OF_SCAN, Some(scan)).await?;
    }
    drop_in_batches(store, DROP_OLD, Some(before.as_millisecond())).await?;
    super::pictures::prune(store, keep_scans, before).await?;
    {
        let mut writers = store.writer().await?;
        let mut tx = writers.relaxed().await?;
        sqlx::query(DROP_NAMES).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    drop_in_batches(store, DROP_BODIES, None).await
}

/// Runs a deletion, whose last parameter is the number of rows, until nothing is left to delete.
async fn drop_in_batches(store: &Backend, statement: &'static str, argument: Option<i64>) -> Result<()> {
    loop {
        let mut writers = store.writer().await?;
        let dropped = drop_some(&mut writers, statement, argument).await?;
        if dropped < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}

async fn drop_some(writers: &mut Writers, statement: &'static str, argument: Option<i64>) -> Result<u64> {
    let mut tx = writers.relaxed().await?;
    let query = sqlx::query(statement);
    let query = match argument {
        Some(argument) => query.bind(argument),
        None => query,
    };
    let done = query.bind(BATCH).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
