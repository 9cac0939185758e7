//! No statement of the crawl reads a whole table, however many scans are kept.

use sqlx::{AssertSqlSafe, Row};

use super::SqliteStore;
use super::shared::{
    complete, evidence, findings, fleet, frontier, logins, replays, scans, sessions, suppressions, tickets, triage,
    turns,
};

/// Statements that must search the tables that grow by an index.
pub(in super::super) const STATEMENTS: &[&str] = &[
    frontier::INSERT,
    frontier::RECLAIM,
    frontier::HOSTS,
    frontier::CANDIDATES,
    frontier::TAKE,
    frontier::COUNTED,
    turns::TAKE,
    turns::NEXT,
    turns::HOLD,
    turns::FORGIVE,
    frontier::FIRST_END,
    frontier::RENEW,
    frontier::RELEASE,
    frontier::RELEASE_OWNER,
    frontier::LEASE_OWNERS,
    frontier::SKIP_WAITING,
    frontier::SKIP_ALIKE,
    logins::REOPEN,
    fleet::RUNNING,
    fleet::OPEN,
    fleet::ONE,
    fleet::KEEP_LEASES,
    fleet::FREE_LEASES,
    fleet::NIGHTLY_SINCE,
    fleet::LAST_NIGHTLY,
    complete::HELD,
    complete::CLOSE,
    complete::KNOWN,
    complete::DESCRIBE,
    complete::KEEP_EVIDENCE,
    complete::NAME_BODIES,
    complete::NAME_HOSTS,
    complete::HELD_BODIES,
    findings::KNOWN,
    findings::SAVE,
    findings::SAVE_PAGES,
    findings::COUNT_PAGES,
    findings::WISH,
    findings::OF_SCAN,
    findings::UNSEEN,
    findings::PAGES,
    findings::PAGE_COUNT,
    findings::ONE,
    findings::OF_SITE,
    findings::URLS,
    suppressions::FOR,
    suppressions::MATCHED,
    triage::LOOKS,
    triage::COVERAGES,
    triage::EVENTS,
    scans::COUNTS,
    scans::PAGES,
    scans::HOSTS,
    replays::KNOWN,
    replays::COUNT,
    sessions::OF_SCAN,
    sessions::DONE,
    scans::UNFINISHED,
    scans::UNFINISHED_OF_SITE,
    evidence::ONE,
    evidence::PAST,
    evidence::BODIES,
    evidence::DROP_OF_SCAN,
    evidence::DROP_OLD,
    tickets::DUE,
    tickets::DEAD,
    tickets::NEWEST,
    tickets::GENERATIONS,
    tickets::OF_FINDING,
    tickets::CREATIONS,
    tickets::BASELINE,
    tickets::WAY,
];

/// What SQLite calls a scan although it is none of a table that grows: parameters, and the rows of a subquery.
/// `scan_counts` and the partial indexes hold only what is wanted.
const HARMLESS: &[&str] = &[
    "SCAN j VIRTUAL TABLE",
    "SCAN h VIRTUAL TABLE",
    "SCAN w",
    "SCAN waiting",
    "SCAN CONSTANT ROW",
    "SCAN s USING INDEX scans_unfinished",
    "SCAN s USING INDEX scans_running",
    "SCAN actions USING INDEX actions_dead",
    "SCAN s USING INDEX suppressions_of_many",
];

#[tokio::test]
async fn statements_search_and_never_scan() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("phantom.db")).await.unwrap();
    for statement in STATEMENTS {
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
            .fetch_all(&store.readers)
            .await
            .unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        for step in &steps {
            let harmless = HARMLESS.iter().any(|known| step.starts_with(known));
            assert!(harmless || !step.starts_with("SCAN"), "{statement}\n{steps:#?}");
        }
    }
}

#[tokio::test]
async fn leasing_uses_the_index_of_waiting_pages_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("phantom.db")).await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", frontier::CANDIDATES)))
        .fetch_all(&store.readers)
        .await
        .unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    assert!(
        steps
            .iter()
            .any(|step| step.contains("USING COVERING INDEX pages_waiting (scan=? AND host=?)")),
        "{steps:#?}"
    );
    assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:#?}");
}
