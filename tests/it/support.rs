//! What the tests share: the real binary, run in a folder of its own against a microsite on `.test` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use phantom_gang::demo::{Content, Microsite};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// No run of the binary in a test takes longer; whatever does hangs.
const LONGEST_RUN: Duration = Duration::from_mins(3);

/// A folder with settings that lead `.test` names to a microsite, and a store.
pub struct Bench {
    pub microsite: Microsite,
    pub folder: TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// Serves the content and writes settings; `more` is added to them.
    pub async fn of(content: impl Content, more: &str) -> Self {
        let microsite = Microsite::serve(content).await.unwrap();
        let bench = Self {
            microsite,
            folder: tempfile::tempdir().unwrap(),
        };
        bench.write("phantom.toml", &settings(&bench.microsite, more));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The binary, ready to be started in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    /// Runs the binary to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        end_of(self.command(arguments).spawn().unwrap()).await
    }

    /// Scans and reads the JSON report.
    pub async fn scan(&self, arguments: &[&str]) -> (Ran, Value) {
        let all: Vec<_> = ["scan", "--report", "json=report.json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let ran = self.run(&all).await;
        assert!(self.path("report.json").exists(), "no report: {ran:#?}");
        (ran, self.report())
    }

    /// The JSON report that a scan has written.
    pub fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("report.json")).unwrap()).unwrap()
    }
}

/// Settings that lead `.test` names to a microsite; `more` begins among the keys of `[browser]`.
pub fn settings(microsite: &Microsite, more: &str) -> String {
    let refusing = [("refusing.test:443".to_owned(), "127.0.0.1:1".to_owned())];
    let resolve: Vec<_> = refusing
        .iter()
        .chain(&microsite.resolve)
        .map(|(name, to)| format!("{name:?} = {to:?}"))
        .collect();
    format!(
        "store = \"sqlite:scans.db\"\n[browser]\nresolve = {{ {} }}\ntrust_spki = [{:?}]\n{more}\n",
        resolve.join(", "),
        microsite.spki,
    )
}

/// The binary, to be run in this folder, its output captured and no answer to be expected from anyone.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    // Of its own, so that what is left behind there is seen.
    fs::create_dir_all(folder.join("tmp")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_phantom"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("TMPDIR", folder.join("tmp"))
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits for the end of a run.
pub async fn end_of(child: Child) -> Ran {
    let output = tokio::time::timeout(LONGEST_RUN, child.wait_with_output())
        .await
        .expect("the run hangs")
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
