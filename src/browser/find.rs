//! Where the browser is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::BrowserError;
use crate::config::{BrowserConfig, BrowserKind};

/// A browser that is there and says which version it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The binary.
    pub path: PathBuf,
    /// Its version: `156.0.8078.79`.
    pub version: String,
}

/// The User-Agent that a browser of this version sends when people use it.
pub(super) fn usual_user_agent(version: &str) -> String {
    let major = version.split('.').next().unwrap_or("0");
    format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36")
}

/// Finds the binary: the configured path, then PATH, then where distributions put it. Asks it for its version.
pub async fn find(config: &BrowserConfig) -> Result<Found, BrowserError> {
    let path = match &config.path {
        Some(path) if path.is_file() => path.clone(),
        Some(path) => {
            return Err(BrowserError::NotFound {
                what: format!("browser.path names {}, which is not a file", path.display()),
            });
        }
        None => search(config.kind).ok_or_else(|| BrowserError::NotFound {
            what: format!("no {} on PATH nor in the usual places", name(config.kind)),
        })?,
    };
    let version = version(&path).await?;
    Ok(Found { path, version })
}

fn name(kind: BrowserKind) -> &'static str {
    match kind {
        BrowserKind::HeadlessShell => "chromium-headless-shell",
        BrowserKind::Chromium => "chromium",
    }
}

// Debian's wrapper in /usr/bin adds flags of its own, so the binary behind it comes first.
fn search(kind: BrowserKind) -> Option<PathBuf> {
    let (places, names): (&[&str], &[&str]) = match kind {
        BrowserKind::HeadlessShell => (
            &[
                "/usr/lib/chromium/chromium-headless-shell",
                "/usr/lib64/chromium-browser/headless_shell",
            ],
            &["chromium-headless-shell", "chrome-headless-shell", "headless_shell"],
        ),
        BrowserKind::Chromium => (
            &[
                "/usr/lib/chromium/chromium",
                "/usr/lib/chromium-browser/chromium-browser",
                "/opt/google/chrome/chrome",
            ],
            &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
        ),
    };
    let on_path = env::var_os("PATH").into_iter().flat_map(|path| {
        env::split_paths(&path)
            .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
            .collect::<Vec<_>>()
    });
    places
        .iter()
        .map(PathBuf::from)
        .chain(on_path)
        .find(|path| path.is_file())
}

async fn version(path: &Path) -> Result<String, BrowserError> {
    let failed = |why: String| BrowserError::Launch {
        path: path.to_owned(),
        why,
    };
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(20), output)
        .await
        .map_err(|_| failed("it did not tell its version within 20 s".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
        .ok_or_else(|| {
            failed(format!(
                "`--version` answered {:?}, which names no version",
                text.trim()
            ))
        })
}
