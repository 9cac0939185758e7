//! The conformance suite on PostgreSQL, and what only a shared server can show.

use std::sync::Arc;

use super::super::conformance::{self, Handle, Rendered, ask, at, counted, lease_one, observed, page, start};
use super::*;
use crate::crawl::{LeaseRequest, Turn};
use crate::store::Store as _;

async fn two_handles() -> (Handle, Handle, ()) {
    let url = server::fresh().await;
    let open = async || Arc::new(PostgresStore::open(&url).await.unwrap());
    (open().await, open().await, ())
}

conformance::suite!(super::two_handles);

/// Stands for a process: a thread with a runtime and connections of its own.
fn process<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work())
    })
}

#[tokio::test]
async fn many_may_open_a_new_store_at_once() {
    let url = server::fresh().await;
    let open = |number: usize| {
        let url = url.clone();
        process(async move || {
            let store = crate::store::open(Some(&url)).await.unwrap();
            let scan = start(&store, &format!("scan-{number}"), &["https://shop.test/"]).await;
            let lease = lease_one(&store, &scan, 0).await;
            assert!(Rendered::done(&lease).record(&store, 1).await);
            store.salt().await.unwrap()
        })
    };
    let threads: Vec<_> = (0..6).map(open).collect();
    let salts: Vec<[u8; 32]> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(salts.iter().all(|salt| *salt == salts[0]), "one salt for all");
}

#[tokio::test]
async fn a_database_that_cannot_be_is_told_with_what_to_do() {
    let url = server::fresh().await;
    let nowhere = url.replace("/case_", "/none_");
    let error = PostgresStore::open(&nowhere).await.err().unwrap().to_string();
    assert!(
        error.contains("does not exist") && error.contains("createdb"),
        "{error}"
    );
    let error = PostgresStore::open("postgres://me:secret@127.0.0.1:1/x")
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("check that the server runs"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_told_with_how_to_write_it() {
    for (url, said) in [
        ("postgres://db:port/scans", "invalid port"),
        ("postgres://db/scans?sslmode=always", "sslmode"),
        ("postgres://db/scans?sslmod=require", "no parameter sslmod, only"),
        ("postgres://me:secret@db:99999999/scans", "invalid port"),
    ] {
        let error = PostgresStore::open(url).await.err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.contains("postgres://USER@HOST/DATABASE?sslmode="), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_program_works_on_when_a_newer_one_adds_to_the_tables_and_ends_when_it_changes_them() {
    let url = server::fresh().await;
    let connect = async || sqlx::PgConnection::connect(&url).await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%sqlx%'";
    let upgrade = async || {
        let mut newer = connect().await;
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut newer).await.unwrap();
        assert!(tables.len() > 15, "{tables:?}");
        for statement in conformance::later(&tables, "''::bytea") {
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
    let open = async || crate::store::open(Some(&url)).await;
    conformance::an_upgrade(open, upgrade, change).await;
}

/// A worker whose clock is five minutes off is as early or late as all others.
#[tokio::test]
async fn a_wrong_clock_breaks_neither_leases_nor_pace() {
    fn fast() -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_mins(5)
    }
    fn slow() -> Timestamp {
        Timestamp::now() - jiff::SignedDuration::from_mins(5)
    }
    let url = server::fresh().await;
    let right: Handle = Arc::new(PostgresStore::open(&url).await.unwrap());
    let scan = start(
        &right,
        "s",
        &["https://shop.test/1", "https://shop.test/2", "https://shop.test/3"],
    )
    .await;
    let request = |now: Timestamp| LeaseRequest {
        now,
        ttl: Duration::from_mins(1),
        pace: Duration::from_secs(100),
        ..ask(&scan, "me", 9, 0)
    };
    let one = LeaseRequest {
        max: 1,
        ..request(Timestamp::now())
    };
    assert_eq!(right.lease(&one).await.unwrap().len(), 1);
    let now = Timestamp::now();
    right
        .hold_host("shop.test", now, now + jiff::SignedDuration::from_secs(140))
        .await
        .unwrap();
    for clock in [fast, slow] {
        let wrong = PostgresStore::open_by(&url, clock).await.unwrap();
        let early = wrong.lease(&request(clock())).await.unwrap();
        assert!(early.is_empty(), "neither a second page nor the leased one: {early:?}");
        let next = wrong.next_lease_at(&request(clock())).await.unwrap().unwrap();
        let wait = next.duration_since(clock()).as_secs();
        assert!((10..=40).contains(&wait), "told on its own clock: {wait}");
        let turn = wrong
            .take_turn("shop.test", clock(), Duration::from_secs(1))
            .await
            .unwrap();
        let Turn::Later(turn) = turn else {
            panic!("it is held");
        };
        let wait = turn.duration_since(clock()).as_secs();
        assert!((110..=140).contains(&wait), "told on its own clock: {wait}");
    }
}

/// Workers that are killed at any time, and a server that ends all connections, lose no page and record none twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing() {
    let url = server::fresh().await;
    let store: Handle = Arc::new(PostgresStore::open(&url).await.unwrap());
    let urls: Vec<String> = (0..60).map(|number| format!("https://shop.test/{number}")).collect();
    let scan = start(&store, "s", &urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let recorded = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let worker = |name: &'static str| {
        let (url, scan, recorded) = (url.clone(), scan.clone(), Arc::clone(&recorded));
        process(async move || {
            let store: Handle = loop {
                if let Ok(store) = PostgresStore::open(&url).await {
                    break Arc::new(store);
                }
            };
            loop {
                // On the fixed clock no lease runs out; those whose answer was lost are given back by their owner.
                let leases = store.lease(&ask(&scan, name, 3, 0)).await.unwrap();
                if leases.is_empty() && store.release_owner(&scan, name).await.unwrap() == 0 {
                    let counts = store.counts(&scan).await.unwrap();
                    if counts.waiting + counts.leased == 0 {
                        break;
                    }
                }
                for lease in leases {
                    if Rendered::done(&lease).record(&store, 1).await {
                        recorded.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            }
        })
    };
    let workers = [worker("a"), worker("b"), worker("c")];
    let mut killer = PgConnection::connect(&url).await.unwrap();
    while workers.iter().any(|worker| !worker.is_finished()) {
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 3",
        )
        .execute(&mut killer)
        .await
        .unwrap();
        // On a busy machine nothing at all would come about in the usual time between two deaths.
        let before = recorded.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            let moved = recorded.load(std::sync::atomic::Ordering::Relaxed) > before;
            if moved || workers.iter().all(std::thread::JoinHandle::is_finished) {
                break;
            }
        }
    }
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(counted(&store, &scan).await, [0, 0, 60, 0, 0]);
    assert!(recorded.load(std::sync::atomic::Ordering::Relaxed) <= 60);
    let looks = store.page_looks(&scan).await.unwrap();
    assert!(looks.iter().all(|look| look.full), "each with its evidence");
}

/// The triggers' numbers are those of a full count.
#[tokio::test]
async fn counts_agree_with_a_full_count() {
    let url = server::fresh().await;
    let store = Arc::new(PostgresStore::open(&url).await.unwrap());
    let one: Handle = store.clone();
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
    let full: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM pages GROUP BY state ORDER BY state")
        .fetch_all(&store.readers)
        .await
        .unwrap();
    let full: Vec<_> = full.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    assert_eq!(full, [("done", 9), ("leased", 10), ("skipped", 12)]);
    assert_eq!(counted(&one, &scan).await, [0, 10, 9, 0, 12]);
}

#[test]
fn texts_come_back_as_they_were() {
    let texts = [
        "",
        "plain",
        "nul \0 and \\u0000 and \\\\u0000 \\",
        "\0\0",
        "quote \" \u{10ffff}",
    ];
    for text in texts {
        assert_eq!(outward(inward(text).into_owned()), text);
        let back: Vec<String> = serde_json::from_str(&rows(&[text]).unwrap()).unwrap();
        assert_eq!(outward(back[0].clone()), text);
        assert!(!back[0].contains('\0'));
    }
    assert!(at(0) > Timestamp::UNIX_EPOCH);
}

/// Who waits for pages need not ask again and again: whoever finds some tells.
#[tokio::test]
async fn who_waits_hears_of_new_pages() {
    const PATIENCE: Duration = Duration::from_secs(90);
    let url = server::fresh().await;
    let (one, two) = (
        PostgresStore::open(&url).await.unwrap(),
        PostgresStore::open(&url).await.unwrap(),
    );
    let two: Handle = Arc::new(two);
    let scan = start(&two, "s", &[]).await;
    let began = std::time::Instant::now();
    // The first word is that it listens.
    one.news().of_pages(&scan, PATIENCE).await;
    let mut pages = one.news();
    let mut scans = one.news();
    let mut of_others = one.news();
    two.add_pages(&scan, &[page("https://shop.test/", 0)]).await.unwrap();
    pages.of_pages(&scan, PATIENCE).await;
    start(&two, "t", &[]).await;
    scans.of_scans(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE, "nothing was heard");
    let waits = std::time::Instant::now();
    let patience = Duration::from_millis(300);
    of_others.of_pages(&ScanId("other".to_owned()), patience).await;
    assert!(waits.elapsed() >= patience, "that was of another scan");
}

/// What a worker whose clock is ahead wishes for is due for the others at once.
#[tokio::test]
async fn a_wrong_clock_keeps_no_ticket_waiting() {
    fn fast() -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_mins(5)
    }
    let url = server::fresh().await;
    let right: Handle = Arc::new(PostgresStore::open(&url).await.unwrap());
    let wrong: Handle = Arc::new(PostgresStore::open_by(&url, fast).await.unwrap());
    let scan = start(&right, "s", &["https://shop.test/"]).await;
    let request = LeaseRequest {
        now: fast(),
        ..ask(&scan, "me", 1, 0)
    };
    let lease = wrong.lease(&request).await.unwrap().remove(0);
    let seen = Rendered::done(&lease).observing([observed("cdn.test", phantom_checks::Severity::High)]);
    let now = fast().duration_since(at(0)).as_millis();
    assert!(seen.record(&wrong, i64::try_from(now).unwrap()).await);
    let soon = Timestamp::now() + jiff::SignedDuration::from_secs(20);
    assert_eq!(right.due_intents(soon, 9, None).await.unwrap().len(), 1);
}
