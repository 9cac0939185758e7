//! The store in one SQLite file, for one machine.
//!
//! Several processes may have it open. Every write begins with `BEGIN IMMEDIATE`, so that it never has to give up half
//! way because another process wrote first. The file is in WAL mode: readers and the writer do not wait for each other.
//!
//! There are two writing connections. The *relaxed* one (`synchronous = NORMAL`) records pages: after a crash of the
//! operating system the last transactions may be gone as a whole, which means that their pages are rendered again.
//! After a crash of our own process nothing is gone. The *durable* one (`synchronous = FULL`) records what must not be
//! forgotten because something outside is about to happen, or has: scans, tickets and outbox actions. It waits for the
//! disk, and what the relaxed one wrote before reaches the disk with it.

mod dialect;
mod open;
#[cfg(test)]
pub(super) mod plans;
#[allow(clippy::duplicate_mod, reason = "it is compiled once for each database")]
#[path = "../sql/mod.rs"]
mod shared;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::{News, Result, StoreError};
use crate::scan::ScanId;
use open::migrations;

type Backend = SqliteStore;
type Connection = SqliteConnection;

/// A store in one SQLite file.
pub(super) struct SqliteStore {
    readers: SqlitePool,
    /// One lock for both, so that within this process they never wait in the database for each other.
    writers: Mutex<Writers>,
}

struct Writers {
    relaxed: SqliteConnection,
    durable: SqliteConnection,
}

impl Writers {
    /// Begins a write that may be lost as a whole if the operating system crashes.
    async fn relaxed(&mut self) -> Result<Transaction<'_, Sqlite>> {
        immediate(&mut self.relaxed).await
    }

    /// Begins a write that is on the disk once it is committed.
    async fn durable(&mut self) -> Result<Transaction<'_, Sqlite>> {
        immediate(&mut self.durable).await
    }
}

impl SqliteStore {
    /// The connections that write, for one at a time.
    async fn writer(&self) -> Result<MutexGuard<'_, Writers>> {
        Ok(self.writers.lock().await)
    }

    /// A transaction whose reads all see one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }

    /// Other processes tell nothing.
    #[expect(clippy::unused_self, reason = "other databases pass it on")]
    fn ear(&self) -> News {
        News::none()
    }

    /// A time of the caller's clock on the clock that decides leases. On one machine there is one clock.
    #[expect(clippy::unused_self, reason = "other databases have a clock of their own")]
    fn there(&self, time: Timestamp) -> i64 {
        time.as_millisecond()
    }

    /// The reverse of [`Self::there`].
    #[expect(clippy::unused_self, reason = "other databases have a clock of their own")]
    fn here(&self, millis: i64) -> i64 {
        millis
    }
}

/// Begins a write on one of the two connections. Dropped without a commit, it is rolled back.
async fn immediate(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// Nothing is worth a second try: a write waits for the others before it begins.
struct Tries;

impl Tries {
    fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "other databases count their tries")]
    fn once_more(&mut self, _: &StoreError) -> std::future::Ready<bool> {
        std::future::ready(false)
    }
}

/// Makes other writers of a scan wait. Here each write is alone from its beginning.
async fn lock_scan(_: &mut Connection, _: &ScanId) -> Result<()> {
    Ok(())
}

/// The same, for whoever leases pages of these hosts. True if what was read of them may be old.
async fn lock_hosts(_: &mut Connection, _: &[&str]) -> Result<bool> {
    Ok(false)
}

/// The same, for whoever changes what goes by a name.
async fn lock_name(_: &mut Connection, _: &str) -> Result<()> {
    Ok(())
}

/// Tells the other processes that a scan has pages that wait. Here they ask.
async fn tell_of_pages(_: &mut Connection, _: &ScanId) -> Result<()> {
    Ok(())
}

/// The same, that there is a scan to be done, or one to be done otherwise.
async fn tell_of_scans(_: &mut Connection) -> Result<()> {
    Ok(())
}

/// Rows that a statement takes in one parameter.
fn rows<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    super::codec::json(rows)
}

/// A text as the database can hold it.
fn inward(text: &str) -> &str {
    text
}

/// The text that was made fit with [`inward`].
fn outward(text: String) -> String {
    text
}

/// What SQLite said.
pub(super) fn said(database: &dyn DatabaseError) -> StoreError {
    const SHM_DOES_NOT_FIT: i32 = 4874;
    let said = database.message().to_owned();
    let code = database.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
    // The low byte is the primary result code: https://www.sqlite.org/rescode.html
    match (code, code & 0xff) {
        (_, 13) | (SHM_DOES_NOT_FIT, _) => StoreError::Full,
        (_, 3 | 8 | 14) => StoreError::ReadOnly(said),
        (_, 11 | 26) => StoreError::Corrupt(said),
        (_, 5 | 6) => StoreError::Database(format!(
            "{said}: another process kept it for longer than {} s; end that process or try again",
            open::BUSY_TIMEOUT.as_secs()
        )),
        _ => StoreError::Database(said),
    }
}
