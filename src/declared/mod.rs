//! Checks that an installation declares: folders with a `check.toml` and cases, read and added to all checks.
//!
//! The settings name the folders. A declared check is held to what a built-in one is held to: documentation under all
//! headings, a weakness, and cases of both kinds. What it can be is in `phantom_checks::declarative`; this reads it.

mod load;
mod schema;

use std::path::{Path, PathBuf};

use phantom_checks::cases::{Case, CaseError};
use phantom_checks::declarative::{self, Declaration, IdTaken};

use crate::config::{ConfigError, read_file};

pub use load::read;
pub use schema::SCHEMA;

/// The file of a check, in a folder of its own.
pub const FILE: &str = "check.toml";
/// Cases of each kind that a check has at least.
pub const LEAST_CASES: usize = 3;

/// Why declared checks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeclaredError {
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A folder cannot be read.
    #[error("cannot read {}: {why}; name an existing folder in `checks.folders` of the settings", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The id is another check's.
    #[error("{}: {why}; give it an id of its own", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// Which id.
        why: IdTaken,
    },
    /// The folder is not called like the check.
    #[error("{} declares `{id}`; call its folder `{id}`, so that it is found by its id", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// A case says nothing that can be understood of itself.
    #[error("{}: {why}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: CaseError,
    },
    /// Nobody knows whether the check is right.
    #[error(
        "{} has {flag} cases that must be flagged and {pass} that must pass; write {LEAST_CASES} of each at least into \
         cases/ beside it, and try them with `phantom checks test`", path.display()
    )]
    Untried {
        /// The file.
        path: PathBuf,
        /// Cases that must be flagged.
        flag: usize,
        /// Cases that must pass.
        pass: usize,
    },
}

/// Adds the checks of these folders, each of which has a folder for each check, to all checks.
///
/// # Errors
/// If one of them is wrong. Those before it are added.
pub fn declare_all(folders: &[PathBuf]) -> Result<(), DeclaredError> {
    for folder in folders {
        for home in homes(folder)? {
            cases(&home)?;
            declare(&home)?;
        }
    }
    Ok(())
}

/// Adds the checks of a folder, be it that of one check or of several, as far as they are not among all checks already.
/// They may lack cases: this is for whoever is about to try them.
///
/// # Errors
/// If one of them is wrong.
pub fn declare_new(folder: &Path) -> Result<(), DeclaredError> {
    let homes = if folder.join(FILE).is_file() {
        vec![folder.to_owned()]
    } else {
        homes(folder)?
    };
    for home in homes {
        let declaration = read_home(&home)?;
        if phantom_checks::by_id(&declaration.id).is_none() {
            declare_one(&home, declaration)?;
        }
    }
    Ok(())
}

fn declare(home: &Path) -> Result<(), DeclaredError> {
    declare_one(home, read_home(home)?)
}

fn declare_one(home: &Path, declaration: Declaration) -> Result<(), DeclaredError> {
    let path = home.join(FILE);
    declarative::declare(declaration).map_err(|why| DeclaredError::Taken { path, why })
}

fn read_home(home: &Path) -> Result<Declaration, DeclaredError> {
    let path = home.join(FILE);
    let declaration = read(&read_file(&path)?, &path)?;
    let whole = std::fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    let name = whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace('_', "-");
    if name == declaration.id {
        Ok(declaration)
    } else {
        let id = declaration.id;
        Err(DeclaredError::Name { path, id })
    }
}

/// The folders of checks in a folder, in the order of their names.
fn homes(folder: &Path) -> Result<Vec<PathBuf>, DeclaredError> {
    let mut homes = list(folder)?;
    homes.retain(|path| path.join(FILE).is_file());
    Ok(homes)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DeclaredError> {
    entries(folder).map_err(|why| DeclaredError::Folder {
        path: folder.to_owned(),
        why,
    })
}

/// What is in a folder, in the order of the names.
pub(crate) fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}

/// Holds a check to cases of both kinds. Whether it is right about them, `phantom checks test` tells.
fn cases(home: &Path) -> Result<(), DeclaredError> {
    let (mut flag, mut pass) = (0, 0);
    let folder = home.join("cases");
    let pages = if folder.is_dir() { list(&folder)? } else { Vec::new() };
    for path in pages {
        let page = if path.is_dir() { path.join("index.html") } else { path };
        if page.extension().is_some_and(|extension| extension == "html") {
            let case = Case::parse(&read_file(&page)?).map_err(|why| DeclaredError::Case { path: page, why })?;
            *(if case.flags.is_empty() { &mut pass } else { &mut flag }) += 1;
        }
    }
    if flag >= LEAST_CASES && pass >= LEAST_CASES {
        return Ok(());
    }
    let path = home.join(FILE);
    Err(DeclaredError::Untried { path, flag, pass })
}
