//! Making and opening the file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tokio::sync::Mutex;

use super::super::versions;
use super::{Result, SqliteStore, StoreError, Writers};

/// How long a write waits for another process's.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections for reading; they live on threads of their own.
const READERS: u32 = 4;

/// Cache of a writing connection in KiB; the indexes of the frontier are read and written at random.
const WRITER_CACHE: &str = "-16000";

/// The tables of a file, but for what is there before our own first ones are.
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
     AND name <> '_sqlx_migrations' ORDER BY name";

/// Ours. Those of newer versions are not missed: what a store says of itself decides.
pub(super) fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("src/store/migrations/sqlite");
    migrations.set_ignore_missing(true);
    migrations
}

impl SqliteStore {
    /// Opens the file, made with its folder if there is none: the folder for its owner alone (0700), the file too
    /// (0600). The mode of what is there already stays as it is.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        Self::open_at(path).await.map_err(|error| at_open(path, error))
    }

    async fn open_at(path: &Path) -> Result<Self> {
        let place = path.to_path_buf();
        // Dropped, and with it unlocked, when everything is open.
        let _lock = tokio::task::spawn_blocking(move || make_and_lock(&place))
            .await
            .map_err(|error| StoreError::Database(error.to_string()))??;
        let options = SqliteConnectOptions::new().filename(path);
        let options = options.busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
        refuse_what_is_not_ours(&options, path).await?;
        let options = options.journal_mode(SqliteJournalMode::Wal).foreign_keys(true);
        let writer = options.clone().pragma("cache_size", WRITER_CACHE);
        let mut durable = writer.clone().synchronous(SqliteSynchronous::Full).connect().await?;
        migrate(&mut durable, path).await?;
        sqlx::query(versions::SAY)
            .bind(rand::random::<[u8; 32]>().as_slice())
            .bind(versions::LEAST)
            .execute(&mut durable)
            .await?;
        let least = sqlx::query_scalar(versions::ASK).fetch_one(&mut durable).await?;
        versions::fits(least, &migrations())?;
        let relaxed = writer.synchronous(SqliteSynchronous::Normal).connect().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.pragma("query_only", "true"));
        Ok(Self {
            readers,
            writers: Mutex::new(Writers { relaxed, durable }),
        })
    }
}

/// Makes folder and file, and takes the lock that guards migrations: sqlx's own does nothing on SQLite.
fn make_and_lock(path: &Path) -> Result<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let make = || {
        make_folder(folder)?;
        let lock = private_file(&beside(path, ".lock"))?;
        lock.lock()?;
        if path.try_exists()? {
            // Never opened here: closing it would take SQLite's own locks away from this process.
            #[cfg(unix)]
            rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)?;
        } else {
            private_file(path)?;
        }
        Ok(lock)
    };
    make().map_err(|error| open_error(path, folder, &error))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file for writing, made for its owner alone. SQLite gives its `-wal` and `-shm` the mode of the main file.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn open_error(path: &Path, folder: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{IsADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let folder = folder.display();
    let hint = match error.kind() {
        StorageFull | QuotaExceeded => return StoreError::Full,
        PermissionDenied => format!("make {folder} writable for this user, or choose another place with --store"),
        ReadOnlyFilesystem => "the file system is read-only; choose another place with --store".to_owned(),
        IsADirectory => "name a file in that folder with --store".to_owned(),
        _ => format!("check that {folder} is a folder that this user can write, or choose another with --store"),
    };
    StoreError::Open {
        url: format!("sqlite:{}", path.display()),
        why: error.to_string(),
        hint,
    }
}

/// What a database says when it is opened is about this place.
fn at_open(path: &Path, error: StoreError) -> StoreError {
    let (why, hint) = match error {
        StoreError::ReadOnly(why) => (why, "name a file that this user can write with --store"),
        StoreError::Corrupt(why) => (why, "restore a copy, or choose another place with --store"),
        StoreError::Database(why) => (why, "try again, or choose another place with --store"),
        StoreError::Newer => (
            "a newer version of this program has written it".to_owned(),
            "use that version, or choose another place with --store",
        ),
        other => return other,
    };
    StoreError::Open {
        url: format!("sqlite:{}", path.display()),
        why,
        hint: hint.to_owned(),
    }
}

/// A file that another program keeps its tables in stays as it is: already how we open ours would write to it.
async fn refuse_what_is_not_ours(options: &SqliteConnectOptions, path: &Path) -> Result<()> {
    let mut look = options.connect().await?;
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut look).await?;
    look.close().await?;
    let has = |own: &str| tables.iter().any(|table| table == own);
    let Some(first) = tables.first().filter(|_| !(has("installation") && has("scans"))) else {
        return Ok(());
    };
    Err(StoreError::Open {
        url: format!("sqlite:{}", path.display()),
        why: format!(
            "it is the database of another program (it has the table `{}`)",
            first.escape_debug()
        ),
        hint: "name another file with --store; this one was not changed".to_owned(),
    })
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let refused = |why: String, hint: &str| StoreError::Open {
        url: format!("sqlite:{}", path.display()),
        why,
        hint: hint.to_owned(),
    };
    migrations().run(connection).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => refused(
            other.to_string(),
            "restore a copy, or choose another place with --store",
        ),
    })
}
