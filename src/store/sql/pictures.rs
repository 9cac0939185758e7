//! Pictures of findings.

use jiff::Timestamp;

use super::codec::unsigned;
use super::{Backend, Result, StoreError, no_such_scan};
use crate::scan::ScanId;
use crate::site::SiteId;
use crate::triage::{Fingerprint, Picture};

const KEEP: &str = "INSERT INTO pictures (fingerprint, scan, taken, width, height, png) \
     SELECT $1, seq, $3, $4, $5, $6 FROM scans WHERE id = $2 \
     ON CONFLICT (fingerprint) DO UPDATE SET scan = excluded.scan, taken = excluded.taken, width = excluded.width, \
     height = excluded.height, png = excluded.png";

pub(in super::super) const ONE: &str = "SELECT s.id, p.taken, p.width, p.height, p.png FROM pictures p JOIN scans s ON s.seq = p.scan \
     WHERE p.fingerprint = $1";

/// Those of scans beyond the newest `$1` of their site, and those older than `$2`.
pub(in super::super) const DROP_OLD: &str = "DELETE FROM pictures WHERE taken < $2 OR scan IN (SELECT r.seq FROM ( \
         SELECT seq, row_number() OVER (PARTITION BY site ORDER BY started DESC, seq DESC) AS age \
         FROM scans WHERE trigger <> 'verify') r WHERE r.age > $1)";

const DROP_OF_SITE: &str = "DELETE FROM pictures WHERE scan IN (SELECT seq FROM scans WHERE site = $1)";

pub(super) async fn keep(store: &Backend, picture: &Picture) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    let kept = sqlx::query(KEEP)
        .bind(&picture.fingerprint.0)
        .bind(&picture.scan.0)
        .bind(picture.taken.as_millisecond())
        .bind(i64::from(picture.width))
        .bind(i64::from(picture.height))
        .bind(picture.png.as_slice())
        .execute(&mut *tx)
        .await?;
    if kept.rows_affected() == 0 {
        return Err(no_such_scan(&picture.scan));
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn one(store: &Backend, fingerprint: &Fingerprint) -> Result<Option<Picture>> {
    let row: Option<(String, i64, i64, i64, Vec<u8>)> = sqlx::query_as(ONE)
        .bind(&fingerprint.0)
        .fetch_optional(&store.readers)
        .await?;
    row.map(|(scan, taken, width, height, png)| {
        let taken = Timestamp::from_millisecond(taken)
            .map_err(|error| StoreError::Corrupt(format!("the picture of {fingerprint}: {error}")))?;
        Ok(Picture {
            fingerprint: fingerprint.clone(),
            scan: ScanId(scan),
            taken,
            width: unsigned(width, "the width of a picture")?,
            height: unsigned(height, "the height of a picture")?,
            png,
        })
    })
    .transpose()
}

pub(super) async fn prune(store: &Backend, keep_scans: u32, before: Timestamp) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    sqlx::query(DROP_OLD)
        .bind(i64::from(keep_scans))
        .bind(before.as_millisecond())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn drop_of_site(store: &Backend, site: &SiteId) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    sqlx::query(DROP_OF_SITE).bind(&site.0).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
