//! The store in a PostgreSQL database, which many machines share.
//!
//! What both databases say in the same words is in `store/sql`. What differs is in this folder: the statements that take
//! many rows, how a transaction begins, and what it has to lock, since here writers are not alone.
//!
//! All changes to the pages of one scan go one after another (`lock_scan`), and so do all leases on one host
//! (`lock_hosts`), scans before hosts. Nothing is locked while a page is rendered.
//!
//! The database's clock decides leases and pace; see [`clock`]. If two writers stand in each other's way, or the
//! database is away for a while, an operation is tried again. So is one whose answer was lost: it is whole or nothing,
//! and doing it twice is the same as once.

mod clock;
mod dialect;
mod listen;
mod open;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

#[allow(clippy::duplicate_mod, reason = "it is compiled once for each database")]
#[path = "../sql/mod.rs"]
mod shared;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::{News, Result, StoreError};
use crate::scan::ScanId;
use listen::{tell_of_pages, tell_of_scans};
use open::migrations;

/// How long an operation waits for a database that is away.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often an operation that was in another's way is tried again.
const CLASHES: u32 = 20;

const LOCK_SCAN: &str = "SELECT scan FROM scan_counts WHERE scan = (SELECT seq FROM scans WHERE id = $1) FOR UPDATE";

const LOCK_HOSTS: &str = "SELECT host FROM hosts WHERE host = ANY ($1) ORDER BY host FOR UPDATE";

const MAKE_HOSTS: &str = "INSERT INTO hosts (host, next_allowed) SELECT h, 0 FROM unnest($1) h ORDER BY h \
     ON CONFLICT DO NOTHING";

/// What stands for a NUL, which PostgreSQL cannot hold in a text: two code points that are no characters.
const NUL: &str = "\u{10ffff}\u{10fffe}";

type Backend = PostgresStore;
type Connection = PgConnection;

/// A store in a PostgreSQL database.
pub(super) struct PostgresStore {
    readers: PgPool,
    clock: clock::Clock,
    ear: listen::Ear,
}

/// A connection that writes.
struct Writers(PoolConnection<Postgres>);

impl Writers {
    /// Begins a write that may be lost as a whole if the database crashes.
    async fn relaxed(&mut self) -> Result<Transaction<'_, Postgres>> {
        Ok(self.0.begin_with("BEGIN; SET LOCAL synchronous_commit TO OFF").await?)
    }

    /// Begins a write that is on the disk once it is committed.
    async fn durable(&mut self) -> Result<Transaction<'_, Postgres>> {
        Ok(self.0.begin().await?)
    }
}

impl PostgresStore {
    async fn writer(&self) -> Result<Writers> {
        let mut connection = self.readers.acquire().await?;
        self.clock.compare(&mut connection).await?;
        Ok(Writers(connection))
    }

    /// A transaction whose reads all see one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self
            .readers
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?)
    }

    fn ear(&self) -> News {
        self.ear.news(&self.readers)
    }

    /// A time of the caller's clock on the clock that decides leases, the database's.
    fn there(&self, time: Timestamp) -> i64 {
        time.as_millisecond().saturating_add(self.clock.ahead())
    }

    /// The reverse of [`Self::there`].
    fn here(&self, millis: i64) -> i64 {
        millis.saturating_sub(self.clock.ahead())
    }
}

/// What PostgreSQL said.
pub(super) fn said(database: &PgDatabaseError) -> StoreError {
    let said = database.message().to_owned();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match database.code() {
        // Serialization failure, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => StoreError::Clash(said),
        "53100" => StoreError::Full,
        "25006" | "42501" => StoreError::ReadOnly(said),
        // Connections that failed or are too many; a server that stops or starts.
        code if code.starts_with("08") || matches!(code, "53300" | "57P01" | "57P02" | "57P03" | "25P03") => {
            StoreError::Away(said)
        }
        code if code.starts_with("XX") => StoreError::Corrupt(said),
        _ => StoreError::Database(said),
    }
}

/// Makes other writers of a scan wait until this transaction ends.
async fn lock_scan(connection: &mut Connection, scan: &ScanId) -> Result<()> {
    sqlx::query(LOCK_SCAN).bind(&scan.0).fetch_optional(connection).await?;
    Ok(())
}

/// The same, for whoever leases pages of these hosts. True if what was read of them may be old.
async fn lock_hosts(connection: &mut Connection, hosts: &[&str]) -> Result<bool> {
    if hosts.is_empty() {
        return Ok(false);
    }
    let locked = sqlx::query(LOCK_HOSTS).bind(hosts).fetch_all(&mut *connection).await?;
    if locked.len() < hosts.len() {
        sqlx::query(MAKE_HOSTS).bind(hosts).execute(&mut *connection).await?;
        sqlx::query(LOCK_HOSTS).bind(hosts).fetch_all(connection).await?;
    }
    Ok(true)
}

/// The same, for whoever changes what goes by a name.
async fn lock_name(connection: &mut Connection, name: &str) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows that a statement takes in one parameter.
fn rows<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    let json = super::codec::json(rows)?;
    if !json.contains("\\u0000") {
        return Ok(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            out.push_str(NUL);
            rest = after;
        } else {
            // An escape is at least two characters of ASCII; what follows them is no escape.
            let (escape, after) = escape.split_at(2.min(escape.len()));
            out.push_str(escape);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A text as the database can hold it.
fn inward(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', NUL))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that was made fit with [`inward`].
fn outward(text: String) -> String {
    if text.contains(NUL) {
        text.replace(NUL, "\0")
    } else {
        text
    }
}

/// How often an operation was tried, and since when.
struct Tries {
    clashes: u32,
    since: Instant,
    wait: Duration,
}

impl Tries {
    fn new() -> Self {
        Self {
            clashes: 0,
            since: Instant::now(),
            wait: Duration::from_millis(100),
        }
    }

    /// Waits, if the operation is worth trying once more.
    async fn once_more(&mut self, error: &StoreError) -> bool {
        match error {
            StoreError::Clash(_) if self.clashes < CLASHES => {
                self.clashes += 1;
                let most = u64::from(self.clashes) * 10;
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..most))).await;
                true
            }
            StoreError::Away(why) if self.since.elapsed() < PATIENCE => {
                tracing::warn!(why, "the database is away; trying again");
                tokio::time::sleep(self.wait).await;
                self.wait = (self.wait * 2).min(Duration::from_secs(3));
                true
            }
            _ => false,
        }
    }
}
