//! Cases of checks, tried: served on loopback over real HTTPS and scanned by the whole pipeline.
//!
//! What a case is, `checks/README.md` says. The tests and `phantom checks test` try them here, so both hold a check to
//! the same.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use phantom_checks::cases::{Case, CaseError, Explored, Flag};
use phantom_checks::{Confidence, Severity};
use tokio_util::sync::CancellationToken;

use crate::config::{BrowserConfig, Config};
use crate::declared;
use crate::demo::{Ask, Content, DemoError, Microsite, Reply, Scheme};
use crate::scan::{ScanError, ScanEvent, ScanState, Scanner, Start, Trigger};
use crate::site::Site;
use crate::store::{self, StoreError};

/// Cases tried at once, each with a browser of its own.
const AT_ONCE: usize = 3;
/// How long a page may take: what a slow machine comes to says nothing of a check.
const PATIENCE: Duration = Duration::from_mins(3);
/// Stands in a case's header for the `Origin` of the request; a header that has it is not sent without one.
const ORIGIN: &str = "{origin}";

/// Stands in a case for a value that is another one in each reply.
const TOKEN: &str = "{token}";

/// One case on disk.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The id of the check.
    pub check: String,
    /// `mixed_content/script.html`, for messages.
    pub name: String,
    /// What it expects.
    pub case: Case,
    root: PathBuf,
    page: String,
}

/// What the check said: severity, confidence and title.
pub type Said = (Severity, Confidence, String);

/// What keeps cases from being found.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A folder or file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A case says nothing that can be understood of itself.
    #[error("{}: {why}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: CaseError,
    },
    /// There is nothing to try.
    #[error("{} has no cases: name the folder of a check, with `cases/` in it, or the folder of several", .0.display())]
    Nothing(PathBuf),
    /// A folder with cases is not that of a check.
    #[error("{} has cases, but `{id}` is no check; a check's folder is named by its id, with _ for -", path.display())]
    NoCheck {
        /// The folder.
        path: PathBuf,
        /// The id by its name.
        id: String,
    },
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The check said what is expected.
    Right,
    /// The check said something else; what is expected and what it said.
    Wrong(String),
    /// The case could not be scanned, which says nothing of the check.
    NotTried(String),
}

/// What keeps a case from being scanned.
#[derive(Debug, thiserror::Error)]
enum NotTried {
    #[error(transparent)]
    Serve(#[from] DemoError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no temporary folder: {0}")]
    Folder(#[from] std::io::Error),
    #[error("{0}")]
    Other(String),
}

impl Trial {
    /// The cases of the check whose folder this is, or of all checks whose folders are in it, in the order of names.
    pub fn find(folder: &Path) -> Result<Vec<Self>, TrialError> {
        let mut folders = vec![folder.to_owned()];
        if !folder.join("cases").is_dir() {
            folders = entries(folder)?;
            folders.retain(|path| path.join("cases").is_dir());
        }
        let mut all = Vec::new();
        for folder in &folders {
            all.extend(Self::of_check(folder)?);
        }
        if all.is_empty() {
            return Err(TrialError::Nothing(folder.to_owned()));
        }
        Ok(all)
    }

    fn of_check(folder: &Path) -> Result<Vec<Self>, TrialError> {
        let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = file_name(&whole);
        let id = name.replace('_', "-");
        if phantom_checks::by_id(&id).is_none() {
            let path = folder.to_owned();
            return Err(TrialError::NoCheck { path, id });
        }
        let cases = folder.join("cases");
        let mut all = Vec::new();
        for path in entries(&cases)? {
            let (root, page) = if path.is_dir() {
                (path.clone(), "index.html".to_owned())
            } else if path.extension().is_some_and(|extension| extension == "html") {
                (cases.clone(), file_name(&path))
            } else {
                continue;
            };
            let file = root.join(&page);
            let html = std::fs::read_to_string(&file).map_err(|why| TrialError::Read {
                path: file.clone(),
                why,
            })?;
            all.push(Self {
                check: id.clone(),
                name: format!("{name}/{}", file_name(&path)),
                case: Case::parse(&html).map_err(|why| TrialError::Case { path: file, why })?,
                root,
                page,
            });
        }
        Ok(all)
    }

    /// Scans the case as any other site is scanned, and compares what the check says with what is expected.
    pub async fn run(&self, browser: &BrowserConfig) -> Tried {
        match self.scan(browser).await {
            Ok(said) => self.judge(&said),
            Err(why) => Tried::NotTried(why.to_string()),
        }
    }

    fn scheme(&self) -> Scheme {
        if self.case.plain_http {
            Scheme::Http
        } else {
            Scheme::Https
        }
    }

    fn site(&self) -> Result<Site, NotTried> {
        let text = format!(
            "id = \"case\"\nstart = [\"{}://case.test/{}{}\"]\nsitemaps = []\n[scope]\nrobots = \"ignore\"\n[limits]\n\
             pages = 1\ndepth = 0\npages_per_s = 1000\n[checks]\n{}\n[explore]\n{}\n",
            self.scheme(),
            self.page,
            self.query(),
            self.case.site.join("\n"),
            match self.case.explore {
                Some(Explored::Full) => "mode = \"full\"\nallow_state_change = true",
                Some(Explored::Safe) => "mode = \"safe\"",
                None => "",
            },
        );
        Site::from_str(&text, Path::new(&self.name)).map_err(|error| NotTried::Other(error.to_string()))
    }

    /// With its question mark, if there is one.
    fn query(&self) -> String {
        match self.case.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        }
    }

    fn content(&self) -> impl Content + use<> {
        let (root, page, headers) = (self.root.clone(), self.page.clone(), self.case.headers.clone());
        let scheme = self.scheme();
        let answers = self.case.answers.clone();
        move |ask: &Ask<'_>| {
            let file = ask.path.trim_start_matches('/');
            let plain = file.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let given = answers.iter().find(|given| given.path == ask.path);
            if let (Some(given), "case.test") = (given, ask.host) {
                let status = StatusCode::from_u16(given.status).unwrap_or_default();
                return Reply::status(status).header(&given.header.0, &given.header.1);
            }
            let known = plain && matches!(ask.host, "case.test" | "cdn.test");
            let Some(bytes) = known.then(|| std::fs::read(root.join(file)).ok()).flatten() else {
                return Reply::status(StatusCode::NOT_FOUND);
            };
            let kind = media_type(file);
            let token = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
            let bytes = match String::from_utf8(bytes) {
                Ok(text) if kind.starts_with("text/html") => text.replace(TOKEN, &token).into_bytes(),
                Ok(text) => text.into_bytes(),
                Err(bytes) => bytes.into_bytes(),
            };
            let mut reply = Reply::ok(kind, bytes);
            if file == page && ask.host == "case.test" && ask.scheme == scheme {
                let origin = ask.headers.get("origin").and_then(|origin| origin.to_str().ok());
                for (name, value) in &headers {
                    match origin {
                        _ if !value.contains(ORIGIN) => reply = reply.header(name, &value.replace(TOKEN, &token)),
                        Some(origin) => reply = reply.header(name, &value.replace(ORIGIN, origin)),
                        None => {}
                    }
                }
            }
            reply
        }
    }

    async fn scan(&self, browser: &BrowserConfig) -> Result<Vec<Said>, NotTried> {
        let microsite = Microsite::serve(self.content()).await?;
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("scans.db");
        let told: Arc<Mutex<Vec<ScanEvent>>> = Arc::default();
        let scanner = Scanner {
            store: store::open(Some(&database.to_string_lossy())).await?,
            config: Arc::new(Config {
                browser: BrowserConfig {
                    processes: 1,
                    resolve: microsite.resolve.clone(),
                    trust_spki: vec![microsite.spki.clone()],
                    page_deadline: PATIENCE,
                    ..browser.clone()
                },
                ..Config::default()
            }),
            tabs: 1,
            listener: {
                let told = Arc::clone(&told);
                Arc::new(move |event| told.lock().unwrap_or_else(PoisonError::into_inner).push(event))
            },
            by: "trial".to_owned(),
            stop: CancellationToken::new(),
            now: Arc::new(Timestamp::now),
        };
        let start = Start::New {
            site: Box::new(self.site()?),
            trigger: Trigger::OnDemand,
        };
        let ended = scanner.scan(start).await?;
        microsite.stop().await;
        if ended.record.state != ScanState::Complete || ended.counts.done != 1 {
            let why = format!(
                "the scan is {:?} and looked at {} pages: {:?}",
                ended.record.state, ended.counts.done, ended.record.remarks
            );
            return Err(NotTried::Other(why));
        }
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(told
            .into_iter()
            .filter_map(|event| match event {
                ScanEvent::Finding {
                    check,
                    severity,
                    confidence,
                    title,
                    ..
                } if check == self.check => Some((severity, confidence, title)),
                _ => None,
            })
            .collect())
    }

    fn judge(&self, said: &[Said]) -> Tried {
        let expected: Vec<Flag> = self
            .case
            .flags
            .iter()
            .flat_map(|flag| std::iter::repeat_n(*flag, flag.count))
            .collect();
        if expected.len() == said.len() && can_pair(&expected, said) {
            return Tried::Right;
        }
        let expected: Vec<String> = self.case.flags.iter().map(ToString::to_string).collect();
        let expected = if expected.is_empty() {
            "pass".to_owned()
        } else {
            expected.join(", ")
        };
        let said: Vec<String> = said
            .iter()
            .map(|(severity, confidence, title)| format!("{severity}, {confidence}: {title}"))
            .collect();
        let said = if said.is_empty() {
            "nothing".to_owned()
        } else {
            said.join("; ")
        };
        Tried::Wrong(format!("expected {expected}; it said {said}"))
    }
}

/// Tries cases with such browsers, some at once, and gives each result as it comes.
pub fn run_all<'a>(
    trials: &'a [Trial],
    browser: &'a BrowserConfig,
) -> impl futures::Stream<Item = (&'a Trial, Tried)> + 'a {
    stream::iter(trials)
        .map(move |trial| async move { (trial, trial.run(browser).await) })
        .buffer_unordered(AT_ONCE)
}

/// Whether each expectation can have an observation of its own that meets it.
fn can_pair(expected: &[Flag], said: &[Said]) -> bool {
    let Some((flag, others)) = expected.split_first() else {
        return true;
    };
    (0..said.len()).any(|at| {
        let (severity, confidence, _) = &said[at];
        let fits = flag.severity.is_none_or(|expected| expected == *severity)
            && flag.confidence.is_none_or(|expected| expected == *confidence);
        let mut rest = said.to_vec();
        rest.remove(at);
        fits && can_pair(others, &rest)
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrialError> {
    declared::entries(folder).map_err(|why| TrialError::Read {
        path: folder.to_owned(),
        why,
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn media_type(file: &str) -> &'static str {
    match file.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
