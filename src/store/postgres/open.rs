//! Connecting, and making the tables.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection};

use super::super::location::without_password;
use super::super::versions;
use super::clock::Clock;
use super::listen::Ear;
use super::{PostgresStore, Result, StoreError};

/// Connections of one process at most. Each is held for milliseconds.
const CONNECTIONS: u32 = 8;

/// Ours. Those of newer versions are not missed: what a store says of itself decides.
pub(super) fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("src/store/migrations/postgres");
    migrations.set_ignore_missing(true);
    migrations
}

impl PostgresStore {
    /// Connects to a database and makes its tables, or brings them up to this version. Many may do so at once.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        Self::open_by(url, Timestamp::now).await
    }

    /// The same, with another clock.
    pub(super) async fn open_by(url: &str, clock: fn() -> Timestamp) -> Result<Self> {
        Self::open_at(url, clock).await.map_err(|error| at_open(url, error))
    }

    async fn open_at(url: &str, clock: fn() -> Timestamp) -> Result<Self> {
        let options = read(url)?
            .application_name("phantom-gang")
            // Of a worker whose machine is gone nothing must stay locked.
            .options([
                ("lock_timeout", "20s"),
                ("idle_in_transaction_session_timeout", "30s"),
                ("tcp_keepalives_idle", "30"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(10))
            .connect_lazy_with(options.clone());
        let mut connection = options.options([("lock_timeout", "0")]).connect().await?;
        migrate(&mut connection, url).await?;
        sqlx::query(versions::SAY)
            .bind(rand::random::<[u8; 32]>().as_slice())
            .bind(versions::LEAST)
            .execute(&mut connection)
            .await?;
        let least = sqlx::query_scalar(versions::ASK).fetch_one(&mut connection).await?;
        versions::fits(least, &migrations())?;
        let clock = Clock::new(clock);
        clock.compare(&mut connection).await?;
        Ok(Self {
            readers: pool,
            clock,
            ear: Ear::new(),
        })
    }
}

/// What a URL may say after its `?`.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// Reads a URL. A mistyped parameter is refused: without it a connection might go unencrypted.
fn read(url: &str) -> Result<PgConnectOptions> {
    let refused = |why: String| StoreError::Open {
        url: without_password(url),
        why,
        hint: "write it as postgres://USER@HOST/DATABASE?sslmode=verify-full, with the password in PGPASSWORD or \
               ~/.pgpass; what is no letter or digit in a name is written as %XX"
            .to_owned(),
    };
    let parsed = url::Url::parse(url).map_err(|error| refused(error.to_string()))?;
    for (name, _) in parsed.query_pairs() {
        if !PARAMETERS.contains(&name.as_ref()) {
            return Err(refused(format!(
                "there is no parameter {name}, only {}",
                PARAMETERS.join(", ")
            )));
        }
    }
    PgConnectOptions::from_str(url).map_err(|error| refused(error.to_string()))
}

/// What a database says when it is opened is about this place.
fn at_open(url: &str, error: StoreError) -> StoreError {
    let (why, hint) = match error {
        StoreError::Away(why) => (
            why,
            "check that the server runs, and the host, port and sslmode in the URL",
        ),
        StoreError::ReadOnly(why) => (why, "let this user own the database, or name another with --store"),
        StoreError::Corrupt(why) => (why, "restore a copy, or name another database with --store"),
        StoreError::Newer => (
            "a newer version of this program has written it".to_owned(),
            "use that version, or name another database with --store",
        ),
        StoreError::Database(why) | StoreError::Clash(why) => (
            why,
            "make the database with createdb, and give user and password in the URL, PGPASSWORD or ~/.pgpass",
        ),
        other => return other,
    };
    StoreError::Open {
        url: without_password(url),
        why,
        hint: hint.to_owned(),
    }
}

async fn migrate(connection: &mut PgConnection, url: &str) -> Result<()> {
    let refused = |why: String, hint: &str| StoreError::Open {
        url: without_password(url),
        why,
        hint: hint.to_owned(),
    };
    migrations().run(connection).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => refused(
            other.to_string(),
            "restore a copy, or name another database with --store",
        ),
    })
}
