//! What a scan comes to, written down: one model, and one file for each way to write it.
//!
//! To add a format: a file with a `FORMAT`, and its line in `FORMATS`.

mod build;
mod csv;
mod endpoints;
mod html;
mod json;
mod junit;
mod model;
mod not_checked;
pub mod safe;
#[cfg(test)]
pub(crate) mod sample;
mod sarif;
mod sheet;
mod suppressed;
mod verdict;
mod words;

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use build::{Context, MAX_FAILED, MAX_PAGES, MAX_UNCHANGED, build};
pub use endpoints::MAX_ENDPOINTS;
pub use json::{safe_json, safe_json_line};
pub use model::{
    CheckRun, DecisionPart, EndpointPart, FailedPage, FindingPart, IdleSuppression, NotChecked, NotCheckedKind,
    PageCounts, Report, SCHEMA, ScanPart, SuppressedPart, TicketPart, Tool, UnchangedPage, UnclaimedHost, Unseen,
};
pub use sheet::{FindingSheet, export, sheet};
pub use verdict::{Verdict, named};
pub use words::{plural, span};

use crate::scan::ScanId;
use crate::store::StoreError;

/// Every way to write a report. One line a format.
const FORMATS: &[Format] = &[json::FORMAT, html::FORMAT, sarif::FORMAT, junit::FORMAT, csv::FORMAT];

/// A way to write a report. Reads from its name.
#[derive(Clone, Copy)]
pub struct Format {
    name: &'static str,
    render: fn(&Report) -> Result<String, ReportError>,
}

impl Format {
    /// The word that names it on the command line.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The report in this format.
    pub fn render(self, report: &Report) -> Result<String, ReportError> {
        (self.render)(report)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Format").field(&self.name).finish()
    }
}

impl FromStr for Format {
    type Err = DestinationError;

    fn from_str(name: &str) -> Result<Self, DestinationError> {
        FORMATS
            .iter()
            .copied()
            .find(|format| format.name == name)
            .ok_or_else(|| DestinationError::UnknownFormat(name.to_owned()))
    }
}

/// A report that is wanted: `FORMAT=FILE`.
#[derive(Debug, Clone)]
pub struct Destination {
    /// As what.
    pub format: Format,
    /// Where.
    pub path: PathBuf,
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (format, path) = text.split_once('=').ok_or(DestinationError::Shape)?;
        if path.is_empty() {
            return Err(DestinationError::Shape);
        }
        Ok(Self {
            format: format.parse()?,
            path: PathBuf::from(path),
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.format.name, self.path.display())
    }
}

/// Why a wish for a report cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// There is no such format.
    #[error("unknown report format `{0}`; known are: {known}", known = known())]
    UnknownFormat(String),
    /// It is not of the shape `FORMAT=FILE`.
    #[error("expected FORMAT=FILE, such as json=report.json; formats are: {known}", known = known())]
    Shape,
}

fn known() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
}

/// What can go wrong with a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store knows no such scan.
    #[error("the store has no scan {0}; check the id, and that --store names the store it was kept in")]
    NoScan(ScanId),
    /// The report could not be put into its format: a fault of ours.
    #[error("the {format} report could not be made: {why}; this is a bug, please report it")]
    Render {
        /// The format.
        format: &'static str,
        /// What went wrong.
        why: String,
    },
    /// The file could not be written.
    #[error("cannot write the report {}: {why}; check that the folder exists, is writable and has space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
}

/// Writes a report to a file. A reader finds the old file or the whole new one, never a part.
pub fn write(format: Format, report: &Report, path: &Path) -> Result<(), ReportError> {
    let text = format.render(report)?;
    replace_file(path, text.as_bytes()).map_err(|why| ReportError::Write {
        path: path.to_owned(),
        why,
    })
}

/// Makes sure that a report can be written there later, without touching what is there: nobody wants to learn that at
/// the end of a long scan.
pub fn check_place(path: &Path) -> Result<(), ReportError> {
    let try_it = || {
        let (path, folder) = place(path);
        if fs::metadata(&path).is_ok_and(|target| target.is_dir()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if fs::metadata(&path).is_ok_and(|target| !target.is_file()) {
            return Ok(());
        }
        fs::metadata(&folder)?;
        let file = tempfile::Builder::new().prefix(PART).tempfile_in(folder);
        file.map(drop).map_err(|error| unnamed(&error))
    };
    try_it().map_err(|why| ReportError::Write {
        path: path.to_owned(),
        why,
    })
}

/// Begins the names of reports that are not whole yet.
const PART: &str = ".phantom-report-";

/// An error without the name of a file that nobody asked for.
fn unnamed(error: &io::Error) -> io::Error {
    error.kind().into()
}

/// Where a report goes, and the folder of that.
fn place(path: &Path) -> (PathBuf, PathBuf) {
    // A link stays a link: what it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_owned();
    (path, folder)
}

fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, folder) = place(path);
    if fs::metadata(&path).is_ok_and(|target| !target.is_file()) {
        // A terminal, a pipe or /dev/null cannot be replaced, only written to.
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    // Readable as any new file is: the umask still takes its part away.
    fs::metadata(&folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(PART)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| unnamed(&error))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read() {
        for (text, format, path) in [
            ("json=out.json", "json", "out.json"),
            ("html=a=b.html", "html", "a=b.html"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.format.name(), format);
            assert_eq!(destination.path, Path::new(path));
        }
        for (text, error) in [
            ("out.json", DestinationError::Shape),
            ("json=", DestinationError::Shape),
            ("pdf=x", DestinationError::UnknownFormat("pdf".to_owned())),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap_err(), error);
        }
    }

    #[test]
    fn a_report_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        write(json::FORMAT, &sample::report(), &path).unwrap();
        let written: Report = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, sample::report());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/report.json");
        let error = write(json::FORMAT, &sample::report(), &path).unwrap_err().to_string();
        assert!(
            error.contains("nowhere/report.json") && !error.contains(PART),
            "{error}"
        );
        let error = check_place(&path).unwrap_err().to_string();
        assert!(
            error.contains("nowhere/report.json: No such file") && !error.contains(PART),
            "{error}"
        );
    }

    #[test]
    fn places_are_checked_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old.json"), "old").unwrap();
        for good in [path("new.json"), path("old.json"), PathBuf::from("/dev/null")] {
            check_place(&good).unwrap();
        }
        for bad in [path("nowhere/new.json"), path("old.json/new.json"), path("")] {
            assert!(check_place(&bad).is_err(), "{}", bad.display());
        }
        assert_eq!(fs::read_to_string(path("old.json")).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        write(json::FORMAT, &sample::report(), Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
