//! Session cookies that a scan saw, and what they make of pages that were seen without them.

use jiff::Timestamp;
use phantom_checks::Observation;
use phantom_checks::evidence::Cookie;

use super::codec::{json, unjson, unword};
use super::{Backend, Result, findings, inward, lock_scan};
use crate::crawl::PageKey;
use crate::scan::{ScanId, Trigger};
use crate::site::SiteId;

const KEEP: &str = "INSERT INTO scan_sessions (scan, name, domain, path, cookie) \
     SELECT seq, $2, $3, $4, $5 FROM scans WHERE id = $1 ON CONFLICT DO NOTHING";

pub(in super::super) const OF_SCAN: &str = "SELECT n.cookie FROM scans s JOIN scan_sessions n ON n.scan = s.seq \
     WHERE s.id = $1 ORDER BY n.name, n.domain, n.path";

pub(in super::super) const DONE: &str = "SELECT p.id, p.scan, p.url, s.site, s.trigger FROM scans s \
     JOIN pages p ON p.scan = s.seq WHERE s.id = $1 AND p.key = $2 AND p.state = 'done'";

pub(super) async fn keep(store: &Backend, scan: &ScanId, cookies: &[Cookie]) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    for cookie in cookies {
        sqlx::query(KEEP)
            .bind(&scan.0)
            .bind(inward(&cookie.name))
            .bind(inward(&cookie.domain))
            .bind(inward(&cookie.path))
            .bind(json(cookie)?)
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}

pub(super) async fn all(store: &Backend, scan: &ScanId) -> Result<Vec<Cookie>> {
    let rows: Vec<String> = sqlx::query_scalar(OF_SCAN)
        .bind(&scan.0)
        .fetch_all(&store.readers)
        .await?;
    rows.iter()
        .map(|row| unjson(row, &format!("a session cookie of scan {scan}")))
        .collect()
}

pub(super) async fn observe(
    store: &Backend,
    scan: &ScanId,
    key: &PageKey,
    now: Timestamp,
    observations: &[Observation],
) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    let page: Option<(i64, i64, String, String, String)> = sqlx::query_as(DONE)
        .bind(&scan.0)
        .bind(&key.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some((page, scan_seq, url, site, trigger)) = page else {
        return Ok(false);
    };
    let place = findings::Place {
        store,
        site: &SiteId(site),
        scan,
        scan_seq,
        page,
        url: &url,
        now,
    };
    if unword::<Trigger>(&trigger)?.is_look() {
        findings::note(&mut tx, &place, observations).await?;
    } else {
        findings::record(&mut tx, &place, observations).await?;
    }
    tx.commit().await?;
    Ok(true)
}
