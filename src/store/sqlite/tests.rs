//! The conformance suite on SQLite, and what only a file can show.

use std::path::Path;
use std::sync::Arc;

use super::super::conformance::{self, Handle, Rendered, ask, counted, lease_one, page, start};
use super::*;

async fn two_handles() -> (Handle, Handle, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom.db");
    let open = async || Arc::new(SqliteStore::open(&path).await.unwrap());
    (open().await, open().await, folder)
}

conformance::suite!(super::two_handles);

async fn open(path: &Path) -> Result<Handle> {
    crate::store::open(path.to_str()).await
}

#[tokio::test]
#[cfg(unix)]
async fn folder_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("data/phantom");
    let store = open(&made.join("phantom.db")).await.unwrap();
    start(&store, "s", &["https://shop.test/"]).await;
    let bits = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(&made), 0o700);
    for name in ["phantom.db", "phantom.db-wal", "phantom.db-shm", "phantom.db.lock"] {
        assert_eq!(bits(&made.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(
        &file,
        "not a database, but long enough to be taken for a damaged one".repeat(20),
    )
    .unwrap();
    let error = open(&file.join("phantom.db")).await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Open { hint, .. } if hint.contains("--store")),
        "{error}"
    );
    let error = open(&file).await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Open { why, .. } if why.contains("not a database")),
        "{error}"
    );
    let error = open(folder.path()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_full_store_says_so_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("phantom.db")).await.unwrap();
    // SQLite answers a page limit and a full disk with the same code.
    {
        let mut writers = store.writers.lock().await;
        let Writers { relaxed, durable } = &mut *writers;
        for connection in [relaxed, durable] {
            sqlx::query("PRAGMA max_page_count = 60")
                .execute(connection)
                .await
                .unwrap();
        }
    }
    let store: Handle = Arc::new(store);
    let scan = start(&store, "s", &["https://shop.test/"]).await;
    let mut known = 1;
    let error = loop {
        assert!(known < 10_000, "it is never full");
        let pages: Vec<_> = (0..100)
            .map(|number| page(&format!("https://shop.test/{known}/{number}"), 1))
            .collect();
        match store.add_pages(&scan, &pages).await {
            Ok(added) => known += added,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error}");
    assert_eq!(counted(&store, &scan).await, [known, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_program_works_on_when_a_newer_one_adds_to_the_tables_and_ends_when_it_changes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let connect = async || SqliteConnection::connect_with(&options).await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqli%'";
    let upgrade = async || {
        let mut newer = connect().await;
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut newer).await.unwrap();
        assert!(tables.len() > 15, "{tables:?}");
        for statement in conformance::later(&tables, "x'00'") {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&mut newer)
                .await
                .unwrap();
        }
    };
    let change = async || {
        sqlx::query(conformance::SHUT_OUT)
            .execute(&mut connect().await)
            .await
            .unwrap();
    };
    conformance::an_upgrade(async || open(&path).await, upgrade, change).await;
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE scans (id TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = open(&path).await.err().unwrap().to_string();
    assert!(
        error.contains("the database of another program (it has the table `scans`)"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Processes are stood for by threads with a runtime and connections each.
#[test]
fn many_may_open_a_new_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom.db");
    let salts: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let open_and_write = |number: usize| {
            let path = &path;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let store = open(path).await.unwrap();
                    let scan = start(&store, &format!("scan-{number}"), &["https://shop.test/"]).await;
                    let lease = lease_one(&store, &scan, 0).await;
                    assert!(Rendered::done(&lease).record(&store, 1).await);
                    store.salt().await.unwrap()
                })
            })
        };
        let threads: Vec<_> = (0..6).map(open_and_write).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(salts.iter().all(|salt| *salt == salts[0]), "one salt for all");
}

#[tokio::test]
async fn a_reopened_store_knows_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom.db");
    let store = open(&path).await.unwrap();
    let salt = store.salt().await.unwrap();
    let scan = start(
        &store,
        "s",
        &["https://shop.test/a", "https://shop.test/b", "https://shop.test/c"],
    )
    .await;
    let mut leases = store.lease(&ask(&scan, "dead", 2, 0)).await.unwrap();
    assert!(Rendered::done(&leases.remove(0)).record(&store, 1).await);
    drop(store);

    let store = open(&path).await.unwrap();
    assert_eq!(store.salt().await.unwrap(), salt);
    assert_eq!(counted(&store, &scan).await, [1, 1, 1, 0, 0]);
    assert_eq!(store.release_owner(&scan, "dead").await.unwrap(), 1);
    let rest = store.lease(&ask(&scan, "me", 9, 2)).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(
        !Rendered::done(&leases[0]).record(&store, 3).await,
        "the dead one's result no longer counts"
    );
}

/// A future dropped at any point of a completion leaves all of it or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_is_cut_off_is_whole_or_nothing() {
    use futures::FutureExt;
    let (one, _two, _folder) = two_handles().await;
    let scan = start(&one, "s", &[]).await;
    let mut recorded = 0;
    for polls in 0..40_usize {
        let url = format!("https://shop.test/{polls}");
        one.add_pages(&scan, &[page(&url, 0)]).await.unwrap();
        let lease = lease_one(&one, &scan, 0).await;
        let rendered = Rendered::done(&lease)
            .observing([conformance::observed("cdn.test", phantom_checks::Severity::High)])
            .script("hash", Some("text"));
        let mut future = Box::pin(rendered.record(&one, 1));
        for _ in 0..polls {
            if (&mut future).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        let evidence = one.evidence(&scan, &lease.key).await.unwrap().is_some();
        let done = !rendered.record(&one, 2).await;
        recorded += 1;
        assert!(done || !evidence, "evidence of a page that is not done");
        assert_eq!(counted(&one, &scan).await, [0, 0, recorded, 0, 0]);
        let finding = one.findings(&scan).await.unwrap().remove(0);
        assert_eq!(
            one.finding_pages(&scan, &finding.fingerprint, 1).await.unwrap().1,
            recorded
        );
    }
}

/// The triggers' numbers are those of a full count.
#[tokio::test]
async fn counts_agree_with_a_full_count() {
    let (one, _two, folder) = two_handles().await;
    let scan = start(&one, "s", &[]).await;
    let pages: Vec<_> = (0..30)
        .map(|number| page(&format!("https://shop.test/{number}"), 0))
        .collect();
    one.add_pages(&scan, &pages).await.unwrap();
    let leases = one.lease(&ask(&scan, "me", 20, 0)).await.unwrap();
    for lease in &leases[..9] {
        assert!(
            Rendered::done(lease)
                .finding(&["https://shop.test/more"])
                .record(&one, 1)
                .await
        );
    }
    one.release(&leases[9], true).await.unwrap();
    one.skip_waiting(&scan, "enough").await.unwrap();
    let store = SqliteStore::open(&folder.path().join("phantom.db")).await.unwrap();
    let full: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM pages GROUP BY state ORDER BY state")
        .fetch_all(&store.readers)
        .await
        .unwrap();
    let full: Vec<_> = full.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    assert_eq!(full, [("done", 9), ("leased", 10), ("skipped", 12)]);
    assert_eq!(counted(&one, &scan).await, [0, 10, 9, 0, 12]);
}
