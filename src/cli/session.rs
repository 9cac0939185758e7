//! What every command that works on this installation begins with: settings, store, sites.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::exit::{Failure, OrExit};
use crate::config::Config;
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
        match &self.config {
            Some(path) => Config::load(path).or_usage(),
            None if Path::new(CONFIG).is_file() => Config::load(Path::new(CONFIG)).or_usage(),
            None => Ok(Config::default()),
        }
    }

    /// Opens the store.
    pub async fn store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        store::open(self.store.as_deref().or(config.store.as_deref()))
            .await
            .or_usage()
    }
}

/// Who is at the keyboard, as far as it can be told: the account and the machine.
pub fn who() -> String {
    let account = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let account = account.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{account}@{}", rustix::system::uname().nodename().to_string_lossy())
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

/// Reads the files of the sites.
pub fn sites() -> Result<SiteBook, Failure> {
    SiteBook::load(Path::new(SITES)).or_usage()
}
