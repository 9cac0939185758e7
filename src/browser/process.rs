//! A local browser process: its flags, its profile folder, its end.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::BrowserError;
use super::client::languages;
use super::connection::Connection;
use super::find::Found;
use super::flags::{FLAGS, listening};
use crate::config::{BrowserConfig, BrowserKind};
use crate::site::Device;

const PROFILE_PREFIX: &str = "phantom-gang-profile-";

/// What a browser is launched with.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub found: Found,
    pub config: BrowserConfig,
    pub user_agent: String,
    pub device: Device,
    /// Where others may connect to it, too.
    pub listen: Option<SocketAddr>,
}

impl Launch {
    /// Chromium's own sandbox cannot run as root.
    pub fn sandboxed(&self) -> bool {
        self.config.sandbox && !rustix::process::geteuid().is_root()
    }

    /// What the browser is started with.
    pub fn arguments(&self, profile: &Path) -> Vec<String> {
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(match self.config.kind {
            BrowserKind::HeadlessShell => "--headless".to_owned(),
            BrowserKind::Chromium => "--headless=new".to_owned(),
        });
        flags.push(format!("--user-data-dir={}", profile.display()));
        flags.push(format!("--user-agent={}", self.user_agent));
        let (locale, languages) = languages(&self.device);
        flags.push(format!("--lang={locale}"));
        flags.push(format!("--accept-lang={languages}"));
        let (width, height) = self.device.viewport.unwrap_or((1280, 800));
        flags.push(format!("--window-size={width},{height}"));
        if !self.config.trust_spki.is_empty() {
            flags.push(format!(
                "--ignore-certificate-errors-spki-list={}",
                self.config.trust_spki.join(",")
            ));
        }
        flags.extend(self.listen.into_iter().flat_map(listening));
        if !self.sandboxed() {
            flags.push("--no-sandbox".to_owned());
        }
        flags.push("about:blank".to_owned());
        flags
    }
}

/// The full browser stops before a form's data goes over http and asks the visitor; nobody is there to be asked, and where
/// the data would go would stay hidden. The headless shell knows no such question.
const PREFERENCES: &str = r#"{"profile":{"mixed_forms_warnings":false}}"#;

/// A running browser process. Dropping it kills the process and removes its profile.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    profile: Option<Profile>,
    pub connection: Connection,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a browser and connects to it. It may still die before it answers the first call.
    pub fn start(launch: &Launch) -> Result<Self, BrowserError> {
        let failed = |error: io::Error| BrowserError::Launch {
            path: launch.found.path.clone(),
            why: error.to_string(),
        };
        let profile = Profile::create().map_err(failed)?;
        let (child_reads, we_write) = io::pipe().map_err(failed)?;
        let (we_read, child_writes) = io::pipe().map_err(failed)?;
        let mut command = Command::new(&launch.found.path);
        command
            .args(launch.arguments(&profile.path))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal is for us alone: we end the browsers when their pages are saved.
            .process_group(0)
            .kill_on_drop(true)
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: child_reads.into(),
                    child_fd: 3,
                },
                FdMapping {
                    parent_fd: child_writes.into(),
                    child_fd: 4,
                },
            ])
            .map_err(|error| failed(io::Error::other(error)))?;
        let mut child = command.spawn().map_err(failed)?;
        // Our copies of the child's ends must close, or its death would not show.
        drop(command);
        let group = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let stderr = Arc::new(Mutex::new(String::new()));
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(keep_last_lines(pipe, Arc::clone(&stderr)));
        }
        let connection = Connection::over_pipe(we_write.into(), we_read.into()).map_err(failed)?;
        Ok(Self {
            child,
            group,
            profile: Some(profile),
            connection,
            stderr,
        })
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last lines it wrote, to explain why it died.
    pub fn last_words(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .trim()
            .to_owned()
    }

    /// Kills the process with its children, waits until it is gone, and removes its profile.
    pub async fn end(mut self) {
        self.kill();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        // It may have to wait for the browser's children, which no task of ours should.
        let profile = self.profile.take();
        let _ = tokio::task::spawn_blocking(move || drop(profile)).await;
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn keep_last_lines(pipe: tokio::process::ChildStderr, kept: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&line);
        kept.push('\n');
        if kept.len() > 4_096 {
            let cut = kept
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| kept.len() - at <= 2_048)
                .unwrap_or(0);
            kept.drain(..cut);
        }
    }
}

/// A profile folder that only one browser uses. A lock in it lives as long as we do, so that what a killed process
/// left behind can be told from what is in use.
struct Profile {
    path: PathBuf,
    _lock: File,
}

impl Profile {
    fn create() -> io::Result<Self> {
        let path = tempfile::Builder::new().prefix(PROFILE_PREFIX).tempdir()?.keep();
        let lock = File::create(path.join("phantom.lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        let own = Self { path, _lock: lock };
        let settings = own.path.join("Default");
        fs::create_dir(&settings)?;
        fs::write(settings.join("Preferences"), PREFERENCES)?;
        Ok(own)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // The browser's children may still be writing for a moment after its death.
        for _ in 0..20 {
            match fs::remove_dir_all(&self.path) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) => std::thread::sleep(Duration::from_millis(25)),
            }
        }
        tracing::debug!(path = %self.path.display(), "a profile folder is left to the next start to remove");
    }
}

/// Removes the profiles of processes that were killed. Folders without a lock file may be a start in progress.
pub(super) fn sweep_profiles() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PROFILE_PREFIX) {
            continue;
        }
        if let Ok(lock) = File::open(entry.path().join("phantom.lock"))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
