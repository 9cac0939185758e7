//! A PostgreSQL server of our own, in a folder that is removed with it.

#![allow(dead_code, reason = "each show uses a part of it")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub struct Database {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Database {
    pub fn start() -> Result<Self> {
        let newest = fs::read_dir("/usr/lib/postgresql")?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|folder| folder.join("initdb").exists())
            .max();
        let server = Self {
            folder: tempfile::Builder::new().prefix("fleet-").tempdir()?,
            programs: newest.ok_or("PostgreSQL is not installed; run scripts/setup")?,
        };
        let data = server.data();
        if rustix::process::geteuid().is_root() {
            sh("chown postgres \"$1\"", &[server.folder.path()])?;
        }
        server.run(
            "initdb",
            &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
        )?;
        server.control("start")?;
        Ok(server)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let done = command
            .args(arguments)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if done.success() {
            Ok(())
        } else {
            Err(format!("{}: {done}", program.display()).into())
        }
    }

    /// `start`, or `stop` and `restart` as if the power had gone.
    pub fn control(&self, what: &str) -> Result<()> {
        let folder = self.folder.path().display().to_string();
        let log = format!("{folder}/log");
        let options = format!("-k {folder} -c listen_addresses= -c max_connections=300");
        let mut arguments = vec![what, "-w", "-t", "300", "-D"];
        let data = self.data();
        arguments.push(&data);
        if what != "start" {
            arguments.extend(["-m", "immediate"]);
        }
        if what != "stop" {
            arguments.extend(["-l", &log, "-o", &options]);
        }
        self.run("pg_ctl", &arguments)
    }

    /// Its first process, the parent of all others.
    pub fn pid(&self) -> Result<u32> {
        let text = fs::read_to_string(self.folder.path().join("data/postmaster.pid"))?;
        Ok(text.lines().next().unwrap_or_default().trim().parse()?)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Removes a database: after the power has gone, a server first goes through all that it has.
    pub fn remove(&self, database: &str) -> Result<()> {
        let folder = self.folder.path().display().to_string();
        self.run("dropdb", &["-f", "-h", &folder, "-U", "postgres", database])
    }

    /// Makes a database. Returns how to reach it directly.
    pub fn make(&self, database: &str) -> Result<String> {
        let folder = self.folder.path().display().to_string();
        self.run("createdb", &["-h", &folder, "-U", "postgres", database])?;
        Ok(format!("postgres://postgres@localhost/{database}?host={folder}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.control("stop");
    }
}

fn sh(script: &str, arguments: &[&Path]) -> Result<()> {
    let done = Command::new("sh").args(["-c", script, "sh"]).args(arguments).status()?;
    if done.success() {
        Ok(())
    } else {
        Err(format!("{script}: {done}").into())
    }
}
