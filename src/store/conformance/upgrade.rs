//! A newer program beside an older one.

use std::time::Duration;

use phantom_checks::Severity;

use super::{Handle, Rendered, ask, at, counted, lease_one, observed, page, start};
use crate::scan::Pulse;
use crate::store::{Result, StoreError};

/// What makes a store one that our version must not work with any more.
pub(crate) const SHUT_OUT: &str = "UPDATE installation SET least = 9999";

/// What a newer version may add without asking: a column to each of these tables, a table, an index.
pub(crate) fn later(tables: &[String], checksum: &str) -> Vec<String> {
    let columns = tables
        .iter()
        .map(|table| format!("ALTER TABLE {table} ADD COLUMN later BIGINT NOT NULL DEFAULT 7"));
    // SQLite's strict tables know one name of the type, PostgreSQL both.
    let columns = columns.map(|statement| statement.replace("BIGINT", "INTEGER"));
    let more = [
        "CREATE TABLE later (id INTEGER PRIMARY KEY, name TEXT NOT NULL)".to_owned(),
        "CREATE INDEX later_pages ON pages (later, scan)".to_owned(),
        format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9998, 'later', TRUE, {checksum}, 0)"
        ),
    ];
    columns.chain(more).collect()
}

/// An older process holds a page while a newer program adds to the tables: it works on, and may even be started anew. When
/// one changes them, it hears so.
pub(crate) async fn an_upgrade(
    open: impl AsyncFn() -> Result<Handle>,
    upgrade: impl AsyncFnOnce(),
    change: impl AsyncFnOnce(),
) {
    let old = open().await.unwrap();
    let scan = start(&old, "s", &["https://shop.test/1", "https://shop.test/2"]).await;
    let held = lease_one(&old, &scan, 0).await;
    // Statements that are prepared before the tables become others.
    old.counts(&scan).await.unwrap();
    old.findings(&scan).await.unwrap();

    upgrade().await;

    old.fits().await.unwrap();
    let tokens = [held.token.clone()];
    let pulse = Pulse {
        scan: &scan,
        owner: "me",
        held: &tokens,
        leases_until: at(5000),
        scan_until: at(5000),
        worked: Duration::ZERO,
    };
    old.beat(&pulse).await.unwrap();
    let seen = Rendered::done(&held)
        .observing([observed("cdn.test", Severity::High)])
        .finding(&["https://shop.test/3"])
        .script("hash", Some("text"));
    assert!(seen.record(&old, 1).await);
    let next = old.lease(&ask(&scan, "me", 1, 2)).await.unwrap().pop().unwrap();
    old.release(&next, false).await.unwrap();
    old.add_pages(&scan, &[page("https://shop.test/4", 1)]).await.unwrap();
    assert_eq!(counted(&old, &scan).await, [3, 0, 1, 0, 0]);
    assert_eq!(old.findings(&scan).await.unwrap().len(), 1);
    assert!(old.scan(&scan).await.unwrap().is_some());
    let again = open().await.unwrap();
    let scan = start(&again, "t", &["https://shop.test/1"]).await;
    let held = lease_one(&again, &scan, 10).await;
    assert!(Rendered::done(&held).record(&again, 11).await);

    change().await;

    assert!(matches!(old.fits().await, Err(StoreError::Newer)));
    assert!(matches!(old.beat(&pulse).await, Err(StoreError::Newer)));
    let error = open().await.err().unwrap().to_string();
    assert!(
        error.contains("a newer version of this program has written it; use that version"),
        "{error}"
    );
    // What it held can still be given back.
    old.release_owner(&scan, "me").await.unwrap();
}
