//! No statement of the crawl reads a whole table, however many scans are kept.
//!
//! The tables of a test are empty, where reading all is cheapest. So that is made dear: what is read as a whole then has
//! no index to be searched by.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::super::sqlite::plans::STATEMENTS;
use super::shared::{complete, frontier};
use super::{LOCK_HOSTS, LOCK_SCAN, PostgresStore, dialect, server};

/// What SQLite says in another way.
const OWN: &[&str] = &[
    LOCK_HOSTS,
    LOCK_SCAN,
    dialect::complete::NAME_BODIES,
    dialect::complete::NAME_HOSTS,
    dialect::complete::HELD_BODIES,
    dialect::evidence::BODIES,
    dialect::findings::KNOWN,
    dialect::findings::SAVE,
    dialect::findings::SAVE_PAGES,
    dialect::findings::COUNT_PAGES,
    dialect::findings::WISH,
    dialect::fleet::FREE_LEASES,
    dialect::frontier::INSERT,
    dialect::frontier::CANDIDATES,
    dialect::frontier::TAKE,
    dialect::suppressions::FOR,
    dialect::suppressions::MATCHED,
    dialect::logins::REOPEN,
];

async fn plan(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let most = (1..=9).filter(|number| statement.contains(&format!("${number}"))).max();
    let nulls = vec!["NULL"; most.unwrap_or(0)].join(", ");
    let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let run = async |connection: &mut PgConnection, text: String| {
        sqlx::query(AssertSqlSafe(text)).execute(connection).await.unwrap();
    };
    // What is only compared with NULL has no type by itself.
    let kinds = (1..=most.unwrap_or(0)).map(|number| {
        let bare = statement.contains(&format!("${number} IS NULL"));
        if bare { "text" } else { "unknown" }
    });
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let kinds = if kinds.is_empty() { kinds } else { format!("({kinds})") };
    run(connection, format!("PREPARE asked{kinds} AS {statement}")).await;
    let plan = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN EXECUTE asked{arguments}")))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    run(connection, "DEALLOCATE asked".to_owned()).await;
    plan
}

async fn connection() -> PgConnection {
    let url = server::fresh().await;
    PostgresStore::open(&url).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for setting in ["SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan"] {
        sqlx::query(setting).execute(&mut connection).await.unwrap();
    }
    connection
}

#[tokio::test]
async fn statements_search_and_never_scan() {
    let mut connection = connection().await;
    let common = STATEMENTS.iter().filter(|statement| !statement.contains("json_each"));
    for statement in common.chain(OWN) {
        let plan = plan(&mut connection, statement).await;
        assert!(
            !plan.iter().any(|step| step.contains("Seq Scan on")),
            "{statement}\n{plan:#?}"
        );
    }
}

#[tokio::test]
async fn leasing_uses_the_index_of_waiting_pages_in_order() {
    let mut connection = connection().await;
    let plan = plan(&mut connection, dialect::frontier::CANDIDATES).await;
    assert!(
        plan.iter().any(|step| step.contains("using pages_waiting on pages")),
        "{plan:#?}"
    );
    assert!(!plan.iter().any(|step| step.contains("Sort")), "{plan:#?}");
}

/// What is done with each page searches, too, where a table is so small that to read it as a whole seems cheap.
#[tokio::test]
async fn a_lease_reads_no_small_table_as_a_whole() {
    let url = server::fresh().await;
    PostgresStore::open(&url).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "SET plan_cache_mode = force_generic_plan",
        "INSERT INTO scans (id, site, spec, trigger, state, started, remarks) \
             SELECT 's' || n, 'shop', '{}', 'nightly', 'running', n, '[]' FROM generate_series(1, 300) n",
        "INSERT INTO hosts (host, next_allowed) SELECT n || '.test', 0 FROM generate_series(1, 300) n",
        "INSERT INTO pages (scan, key, url, host, depth, state) \
             SELECT s.seq, n || '', 'https://' || s.seq || '.test/' || n, s.seq || '.test', 1, 'waiting' \
             FROM scans s, generate_series(1, 33) n",
        "ANALYZE",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    for statement in [
        frontier::RECLAIM,
        frontier::HOSTS,
        frontier::COUNTED,
        frontier::FIRST_END,
        dialect::frontier::CANDIDATES,
        dialect::frontier::TAKE,
        complete::HELD,
        complete::CLOSE,
    ] {
        let plan = plan(&mut connection, statement).await;
        assert!(
            !plan.iter().any(|step| step.contains("Seq Scan on pages")),
            "{statement}\n{plan:#?}"
        );
    }
}
