//! The accounts that scans log in with, and what a lost login undoes.

use jiff::Timestamp;

pub(in super::super) use super::dialect::logins::REOPEN;
use super::{Backend, Result, lock_name, lock_scan, rows};
use crate::crawl::PageKey;
use crate::scan::{LOGIN_TAKES, LoginEnd, LoginTurn, MOST_LOGIN_FAILURES, ScanId};

const KNOWN: &str = "SELECT failures, begun FROM logins WHERE account = $1";

const BEGIN: &str = "INSERT INTO logins (account, failures, begun) VALUES ($1, 1, $2) \
     ON CONFLICT (account) DO UPDATE SET failures = logins.failures + 1, begun = excluded.begun";

const FAILED: &str = "UPDATE logins SET begun = NULL WHERE account = $1";

const NOT_TRIED: &str =
    "UPDATE logins SET begun = NULL, failures = CASE WHEN failures > 0 THEN failures - 1 ELSE 0 END WHERE account = $1";

const FORGET: &str = "DELETE FROM logins WHERE account = $1";

pub(super) async fn begin(store: &Backend, account: &str, now: Timestamp) -> Result<LoginTurn> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    lock_name(&mut tx, account).await?;
    let now = store.there(now);
    let known: Option<(i64, Option<i64>)> = sqlx::query_as(KNOWN).bind(account).fetch_optional(&mut *tx).await?;
    let (failures, begun) = known.unwrap_or_default();
    let takes = i64::try_from(LOGIN_TAKES.as_millis()).unwrap_or(i64::MAX);
    if begun.is_some_and(|begun| now.saturating_sub(begun) < takes) {
        return Ok(LoginTurn::Wait);
    }
    if failures >= i64::from(MOST_LOGIN_FAILURES) {
        return Ok(LoginTurn::Stopped);
    }
    sqlx::query(BEGIN).bind(account).bind(now).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(LoginTurn::Go)
}

pub(super) async fn end(store: &Backend, account: &str, end: LoginEnd) -> Result<()> {
    let statement = match end {
        LoginEnd::Succeeded => FORGET,
        LoginEnd::Failed => FAILED,
        LoginEnd::NotTried => NOT_TRIED,
    };
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(statement).bind(account).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn unlock(store: &Backend, account: &str) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let forgotten = sqlx::query(FORGET).bind(account).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(forgotten.rows_affected() > 0)
}

pub(super) async fn reopen(store: &Backend, scan: &ScanId, pages: &[PageKey]) -> Result<u64> {
    let keys: Vec<&str> = pages.iter().map(|page| page.0.as_str()).collect();
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    let reopened = sqlx::query(REOPEN)
        .bind(&scan.0)
        .bind(rows(&keys)?)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(reopened.rows_affected())
}
