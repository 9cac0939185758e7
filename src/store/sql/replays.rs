//! Forms that a scan has sent from another origin: each kind once, and few of them, whichever processes do it.

use phantom_checks::evidence::Answer;

use super::codec::{json, unjson};
use super::{Backend, Result, inward, lock_scan, scans};
use crate::scan::{ReplayTurn, ScanId};

pub(in super::super) const KNOWN: &str = "SELECT answer FROM replays WHERE scan = $1 AND form = $2 AND token = $3";

pub(in super::super) const COUNT: &str = "SELECT count(*) FROM replays WHERE scan = $1";

const CLAIM: &str = "INSERT INTO replays (scan, form, token) VALUES ($1, $2, $3)";

const KEEP: &str =
    "UPDATE replays SET answer = $4 WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND form = $2 AND token = $3";

pub(super) async fn claim(
    store: &Backend,
    scan: &ScanId,
    (form, token): (&str, Option<&str>),
    most: u32,
) -> Result<ReplayTurn> {
    let token = token.unwrap_or_default();
    let mut writers = store.writer().await?;
    // What is sent must not be forgotten.
    let mut tx = writers.durable().await?;
    lock_scan(&mut tx, scan).await?;
    let seq = scans::seq(&mut tx, scan).await?;
    let known: Option<Option<String>> = sqlx::query_scalar(KNOWN)
        .bind(seq)
        .bind(inward(form))
        .bind(inward(token))
        .fetch_optional(&mut *tx)
        .await?;
    match known {
        Some(Some(answer)) => {
            let answer = unjson(&answer, &format!("what came of a form in scan {scan}"))?;
            return Ok(ReplayTurn::Known(answer));
        }
        Some(None) => return Ok(ReplayTurn::Tried),
        None => {}
    }
    let sent: i64 = sqlx::query_scalar(COUNT).bind(seq).fetch_one(&mut *tx).await?;
    if sent >= i64::from(most) {
        return Ok(ReplayTurn::Enough);
    }
    sqlx::query(CLAIM)
        .bind(seq)
        .bind(inward(form))
        .bind(inward(token))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(ReplayTurn::Go)
}

pub(super) async fn keep(
    store: &Backend,
    scan: &ScanId,
    (form, token): (&str, Option<&str>),
    answer: &Answer,
) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(KEEP)
        .bind(&scan.0)
        .bind(inward(form))
        .bind(inward(token.unwrap_or_default()))
        .bind(json(answer)?)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
