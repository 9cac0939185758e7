//! The files of the sites, for commands that scan by themselves: what is wrong with them is said at the start, and again
//! when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::exit::{self, Failure};
use super::session;
use crate::fleet::Status;
use crate::report::plural;
use crate::site::{Site, SiteBook, stamp};

/// How often it is looked whether a file has changed.
const GLANCE: Duration = Duration::from_secs(5);

/// The sites of a folder, as long as somebody looks after them.
pub struct Roll {
    folder: PathBuf,
    stamp: Vec<(PathBuf, Option<SystemTime>, u64)>,
    sites: watch::Sender<Arc<[Site]>>,
    /// Files that cannot be used.
    pub wrong: usize,
}

impl Roll {
    /// Reads the files of a folder. One that cannot be used is told of, and its site left out.
    pub fn read(folder: PathBuf) -> Result<Self, Failure> {
        // Before the files are read: what changes meanwhile is read again.
        let stamp = stamp(&folder);
        let book = session::sites_in(&folder)?;
        Ok(Self {
            folder,
            stamp,
            wrong: tell(&book),
            sites: watch::Sender::new(book.sites().cloned().collect()),
        })
    }

    /// Where nobody asks for sites.
    pub fn empty() -> Self {
        Self {
            folder: PathBuf::new(),
            stamp: Vec::new(),
            wrong: 0,
            sites: watch::Sender::new(Arc::default()),
        }
    }

    /// The sites, now and when they change.
    pub fn sites(&self) -> watch::Receiver<Arc<[Site]>> {
        self.sites.subscribe()
    }

    /// Looks after the files, for as long as it is polled.
    pub async fn follow(mut self, status: Arc<Status>) {
        loop {
            tokio::time::sleep(GLANCE).await;
            if self.look() {
                status.tell_wrong_files(self.wrong);
            }
        }
    }

    /// Reads the files again if one has changed; says whether one has.
    fn look(&mut self) -> bool {
        let stamp = stamp(&self.folder);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match session::sites_in(&self.folder) {
            Ok(book) => {
                self.wrong = tell(&book);
                self.sites.send_replace(book.sites().cloned().collect());
            }
            // Which of two files is right cannot be told.
            Err(failure) => {
                self.wrong = self.wrong.max(1);
                exit::say(&format!("{:#}; until then the sites stay as they were", failure.error));
            }
        }
        true
    }
}

/// Says what is wrong; returns with how many files.
fn tell(book: &SiteBook) -> usize {
    let broken = book.broken();
    for error in broken {
        exit::say(&error.to_string());
    }
    if !broken.is_empty() {
        let files = plural(broken.len() as u64, "file");
        exit::say(&format!("{files} of sites cannot be used; these sites are not scanned"));
    }
    broken.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_counted_and_what_is_mended_is_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, more: &str| {
            let text = format!(
                "id = \"{name}\"\ntitle = \"x\"\nstart = [\"https://{name}.test/\"]\n{more}\n[scope]\n\
                 include = [\"https://{name}.test/**\"]\n"
            );
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        };
        write("good", "");
        write("bad", "ownr = \"x\"");
        let mut roll = Roll::read(folder.path().to_owned()).unwrap();
        let sites = roll.sites();
        let ids = || sites.borrow().iter().map(|site| site.id.0.clone()).collect::<Vec<_>>();
        assert_eq!((roll.wrong, ids()), (1, vec!["good".to_owned()]));
        assert!(!roll.look(), "nothing has changed");
        write("bad", "owner = \"web-team\"");
        assert!(roll.look());
        assert_eq!((roll.wrong, ids()), (0, vec!["bad".to_owned(), "good".to_owned()]));
        std::fs::copy(folder.path().join("good.toml"), folder.path().join("twin.toml")).unwrap();
        assert!(roll.look());
        assert_eq!(
            (roll.wrong, ids().len()),
            (1, 2),
            "neither of two with one id is dropped"
        );
    }
}
