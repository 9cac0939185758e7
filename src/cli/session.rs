//! What every command that works on this installation begins with: settings, store, sites.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;

use super::exit::{Failure, OrExit};
use super::output;
use crate::config::Config;
use crate::declared::declare_all;
use crate::scan::AuditEntry;
use crate::site::SiteBook;
use crate::store::{self, Store};

/// Where the settings are read when nobody says otherwise.
const CONFIG: &str = "phantom.toml";
/// Where the files of the sites are.
pub const SITES: &str = "sitemaps";

/// Which settings and which store.
#[derive(Debug, Clone, Default, Args)]
pub struct Setup {
    /// The settings; without it, phantom.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where scans are kept, such as sqlite:phantom.db; without it, what the settings say, else the platform's data
    /// folder.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
}

impl Setup {
    /// Reads the settings.
    pub fn config(&self) -> Result<Config, Failure> {
        read_config(self.config.as_deref())
    }

    /// A command that is shown to be copied, with the settings and the store that this one was given. A password is not
    /// shown: what a shell takes for a remark says where it is looked for then.
    pub fn command(&self, words: &[&str]) -> String {
        let mut words: Vec<Cow<'_, str>> = words.iter().map(|word| Cow::Borrowed(*word)).collect();
        let stripped = self.store.as_deref().and_then(store::stripped_of_password);
        if let Some(store) = stripped.as_ref().or(self.store.as_ref()) {
            words.extend(["--store".into(), store.into()]);
        }
        if let Some(config) = &self.config {
            words.extend(["--config".into(), config.to_string_lossy()]);
        }
        let mut command = output::command_line(words.iter().map(AsRef::as_ref));
        if stripped.is_some() {
            command.push_str(" # with the password in PGPASSWORD");
        }
        command
    }

    /// Opens the store.
    pub async fn store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        store::open(self.store.as_deref().or(config.store.as_deref()))
            .await
            .or_usage()
    }
}

/// Reads settings, or those of this folder if there are any. The checks that they declare are known from then on: what
/// follows names checks.
pub fn read_config(path: Option<&Path>) -> Result<Config, Failure> {
    let here = Path::new(CONFIG);
    let Some(path) = path.or_else(|| here.is_file().then_some(here)) else {
        return Ok(Config::default());
    };
    let mut known = declared();
    known.0 = true;
    let mut folders = Config::check_folders(path);
    folders.retain(|folder| known.1.insert(folder.clone()));
    drop(known);
    declare_all(&folders).or_usage()?;
    Config::load(path).or_usage()
}

/// Reads the settings of this folder, if no others were read.
pub fn read_once() -> Result<(), Failure> {
    let read = declared().0;
    if read { Ok(()) } else { read_config(None).map(drop) }
}

/// Whether settings were read, and the folders whose checks were declared.
fn declared() -> MutexGuard<'static, (bool, BTreeSet<PathBuf>)> {
    static DECLARED: Mutex<(bool, BTreeSet<PathBuf>)> = Mutex::new((false, BTreeSet::new()));
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is at the keyboard, as far as it can be told: the account and the machine.
pub fn who() -> String {
    let account = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let account = account.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{account}@{}", host())
}

/// The process that begins what schedules say, as the audit log names it.
pub fn by_schedule() -> String {
    format!("schedule@{}, process {}", host(), std::process::id())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Adds to the audit log what somebody does.
pub async fn audit(store: &dyn Store, what: &str, subject: &str, why: Option<String>) -> Result<(), Failure> {
    let entry = AuditEntry {
        at: jiff::Timestamp::now(),
        who: who(),
        what: what.to_owned(),
        subject: subject.to_owned(),
        why,
    };
    store.audit(&entry).await.or_incomplete()
}

/// Reads the files of the sites, which may name checks that the settings of this folder declare.
pub fn sites() -> Result<SiteBook, Failure> {
    sites_in(Path::new(SITES))
}

/// The same, from another folder.
pub fn sites_in(folder: &Path) -> Result<SiteBook, Failure> {
    read_once()?;
    SiteBook::load(folder).or_usage()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_copy_has_no_password() {
        let command = |store: &str| {
            let setup = Setup {
                config: Some("my phantom.toml".into()),
                store: Some(store.to_owned()),
            };
            setup.command(&["phantom", "resume", "1"])
        };
        for store in [
            "postgres://gang:PW@db/scans?sslmode=require",
            "postgres://gang@db/scans?sslmode=require&password=PW",
        ] {
            let said = command(store);
            assert!(!said.contains("PW@") && !said.contains("=PW"), "{said}");
            let words = shlex::split(&said).unwrap();
            let store = "postgres://gang@db/scans?sslmode=require";
            let expected = [
                "phantom",
                "resume",
                "1",
                "--store",
                store,
                "--config",
                "my phantom.toml",
            ];
            assert_eq!(words, expected, "what a shell runs");
            assert!(said.ends_with("# with the password in PGPASSWORD"), "{said}");
        }
        let said = command("postgres://gang@db/scans");
        assert_eq!(
            said,
            "phantom resume 1 --store postgres://gang@db/scans --config 'my phantom.toml'"
        );
    }
}
