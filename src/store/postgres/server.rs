//! A PostgreSQL server for the tests of one process, and gone with it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Runs the server until its standard input closes, which it does when the process that holds it ends, however.
const RUN: &str = r#"
set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=32MB \
    >>"$2/log" 2>&1 &
read -r _ || true
kill -INT $!
wait
rm -rf "$2"
"#;

struct Server {
    folder: PathBuf,
    /// Its standard input keeps the server running.
    _shell: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The folder of the server's programs, as Debian has them, or wherever the shell finds them.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .max();
    newest.unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find(|folder| folder.join("initdb").exists())
            .expect("PostgreSQL is needed for this test: run scripts/setup")
    })
}

/// The ids of the user `postgres`, if we are root, as whom the server would not run.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("the package postgresql makes a user of that name");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", RUN, "sh"]).arg(programs()).arg(&folder);
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
            command.uid(user).gid(group);
        }
        // Not in our group: Ctrl-C in the terminal ends it through us.
        let shell = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { folder, _shell: shell }
    }

    fn url(&self, database: &str) -> String {
        url(&self.folder, database)
    }
}

fn url(folder: &Path, database: &str) -> String {
    format!("postgres://postgres@localhost/{database}?host={}", folder.display())
}

/// The URL of a new, empty database.
pub(super) async fn fresh() -> String {
    let server = SERVER.get_or_init(Server::start);
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let mut tries = 0;
    let mut connection = loop {
        match PgConnection::connect(&server.url("postgres")).await {
            Ok(connection) => break connection,
            Err(error) => {
                tries += 1;
                if tries > 1200 {
                    let log = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
                    std::io::stderr().write_all(log.as_bytes()).ok();
                    panic!("the server does not start: {error}");
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    };
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE case_{number}")))
        .execute(&mut connection)
        .await
        .unwrap();
    server.url(&format!("case_{number}"))
}
