//! Whether the files of sites can be used: all that is wrong, in all of them, at once.

use std::path::{Path, PathBuf};

use super::sites::{Entry, toml_files};
use super::{Site, SiteError};

/// What came of looking at files.
#[derive(Debug, Default)]
pub struct Checked {
    /// The sites whose files can be read, by file.
    pub sites: Vec<(PathBuf, Site)>,
    /// What is wrong.
    pub problems: Vec<SiteError>,
}

/// Looks at these files, or at all of a folder if none are named. Claims are compared with those of the folder's other
/// files, too.
///
/// # Errors
/// If the folder cannot be listed. What is wrong with a file is no error but an answer.
pub fn check(files: &[PathBuf], folder: &Path) -> Result<Checked, SiteError> {
    let mut checked = Checked::default();
    let beside = toml_files(folder)?;
    let named: Vec<&PathBuf> = if files.is_empty() {
        beside.iter().collect()
    } else {
        files.iter().collect()
    };
    let mut entries: Vec<(bool, Entry)> = Vec::new();
    for file in &named {
        match Site::load(file)
            .map_err(SiteError::from)
            .and_then(|site| Entry::of((*file).clone(), site))
        {
            Ok(entry) => entries.push((true, entry)),
            Err(error) => checked.problems.push(error),
        }
    }
    for file in beside
        .iter()
        .filter(|file| !named.iter().any(|named| same_file(named, file)))
    {
        // What is wrong with it was not asked.
        let entry = Site::load(file)
            .ok()
            .and_then(|site| Entry::of(file.clone(), site).ok());
        entries.extend(entry.map(|entry| (false, entry)));
    }
    entries.sort_by(|(_, one), (_, other)| one.file.cmp(&other.file));
    for (index, (asked, entry)) in entries.iter().enumerate() {
        for (other_asked, other) in entries.get(..index).unwrap_or_default() {
            if *asked || *other_asked {
                checked.problems.extend(entry.agrees_with(other).err());
            }
        }
    }
    let asked = entries.into_iter().filter(|(asked, _)| *asked);
    checked.sites = asked.map(|(_, entry)| (entry.file, entry.site)).collect();
    Ok(checked)
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
