//! The accounts that scans log in with, and what a lost login undoes.

use jiff::Timestamp;

use super::super::codec::json;
use super::{Result, SqliteStore, immediate};
use crate::crawl::PageKey;
use crate::scan::{LOGIN_TAKES, LoginEnd, LoginTurn, MOST_LOGIN_FAILURES, ScanId};

pub(super) const REOPEN: &str = "UPDATE pages SET state = 'waiting', reason = NULL, redirected_to = NULL, \
         token = NULL, owner = NULL, lease_until = NULL \
     WHERE scan = (SELECT seq FROM scans WHERE id = ?1) AND key IN (SELECT j.value FROM json_each(?2) j) \
         AND state IN ('done', 'failed', 'skipped')";

const KNOWN: &str = "SELECT failures, begun FROM logins WHERE account = ?1";

const BEGIN: &str = "INSERT INTO logins (account, failures, begun) VALUES (?1, 1, ?2) \
     ON CONFLICT (account) DO UPDATE SET failures = failures + 1, begun = excluded.begun";

const FAILED: &str = "UPDATE logins SET begun = NULL WHERE account = ?1";

const NOT_TRIED: &str = "UPDATE logins SET begun = NULL, failures = max(failures - 1, 0) WHERE account = ?1";

const FORGET: &str = "DELETE FROM logins WHERE account = ?1";

pub(super) async fn begin(store: &SqliteStore, account: &str, now: Timestamp) -> Result<LoginTurn> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    let known: Option<(i64, Option<i64>)> = sqlx::query_as(KNOWN).bind(account).fetch_optional(&mut *tx).await?;
    let (failures, begun) = known.unwrap_or_default();
    let takes = i64::try_from(LOGIN_TAKES.as_millis()).unwrap_or(i64::MAX);
    if begun.is_some_and(|begun| now.as_millisecond().saturating_sub(begun) < takes) {
        return Ok(LoginTurn::Wait);
    }
    if failures >= i64::from(MOST_LOGIN_FAILURES) {
        return Ok(LoginTurn::Stopped);
    }
    sqlx::query(BEGIN)
        .bind(account)
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(LoginTurn::Go)
}

pub(super) async fn end(store: &SqliteStore, account: &str, end: LoginEnd) -> Result<()> {
    let statement = match end {
        LoginEnd::Succeeded => FORGET,
        LoginEnd::Failed => FAILED,
        LoginEnd::NotTried => NOT_TRIED,
    };
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    sqlx::query(statement).bind(account).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn unlock(store: &SqliteStore, account: &str) -> Result<bool> {
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.durable).await?;
    let forgotten = sqlx::query(FORGET).bind(account).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(forgotten.rows_affected() > 0)
}

pub(super) async fn reopen(store: &SqliteStore, scan: &ScanId, pages: &[PageKey]) -> Result<u64> {
    let keys: Vec<&str> = pages.iter().map(|page| page.0.as_str()).collect();
    let mut writers = store.writers.lock().await;
    let mut tx = immediate(&mut writers.relaxed).await?;
    let reopened = sqlx::query(REOPEN)
        .bind(&scan.0)
        .bind(json(&keys)?)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(reopened.rows_affected())
}
