//! Every case of every check, served over real HTTPS and scanned by the whole pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use futures::StreamExt as _;
use jiff::Timestamp;
use phantom_checks::cases::{Case, Flag};
use phantom_checks::{Confidence, Severity};
use phantom_gang::config::{BrowserConfig, Config};
use phantom_gang::demo::{Ask, Content, Microsite, Reply, Scheme};
use phantom_gang::scan::{ScanEvent, ScanState, Scanner, Start, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store;
use tokio_util::sync::CancellationToken;

/// Cases scanned at once, each with a browser of its own.
const AT_ONCE: usize = 3;
/// A check has at least so many cases that it flags, and so many that it passes.
const LEAST: usize = 3;

/// One case on disk.
struct OnDisk {
    check: &'static str,
    /// `mixed_content/script.html`, for messages.
    name: String,
    case: Case,
    /// What is the root of all hosts.
    root: PathBuf,
    page: String,
}

/// What the check said: severity, confidence and title.
type Said = (Severity, Confidence, String);

impl OnDisk {
    fn all() -> Vec<Self> {
        let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("checks");
        let mut all = Vec::new();
        for check in phantom_checks::all() {
            let id = check.meta().id;
            let folder = id.replace('-', "_");
            let cases = checks.join(&folder).join("cases");
            let mut entries: Vec<_> = std::fs::read_dir(&cases)
                .unwrap_or_else(|error| panic!("{}: {error}", cases.display()))
                .map(|entry| entry.unwrap().path())
                .collect();
            entries.sort();
            for path in entries {
                let (root, page) = if path.is_dir() {
                    (path.clone(), "index.html".to_owned())
                } else if path.extension().is_some_and(|extension| extension == "html") {
                    (cases.clone(), file_name(&path))
                } else {
                    continue;
                };
                let name = format!("{folder}/{}", file_name(&path));
                let html = std::fs::read_to_string(root.join(&page)).unwrap_or_else(|error| panic!("{name}: {error}"));
                let case = Case::parse(&html).unwrap_or_else(|error| panic!("{name}: {error}"));
                all.push(Self {
                    check: id,
                    name,
                    case,
                    root,
                    page,
                });
            }
        }
        all
    }

    fn scheme(&self) -> Scheme {
        if self.case.plain_http {
            Scheme::Http
        } else {
            Scheme::Https
        }
    }

    fn site(&self) -> Site {
        let text = format!(
            "id = \"case\"\nstart = [\"{}://case.test/{}\"]\nsitemaps = []\n[scope]\nrobots = \"ignore\"\n[limits]\n\
             pages = 1\ndepth = 0\npages_per_s = 1000\n[checks]\n{}\n",
            self.scheme(),
            self.page,
            self.case.site.join("\n"),
        );
        Site::from_str(&text, Path::new(&self.name)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn content(&self) -> impl Content + use<> {
        let (root, page, headers) = (self.root.clone(), self.page.clone(), self.case.headers.clone());
        let scheme = self.scheme();
        move |ask: &Ask<'_>| {
            let file = ask.path.trim_start_matches('/');
            let plain = file.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let known = plain && matches!(ask.host, "case.test" | "cdn.test");
            let Some(bytes) = known.then(|| std::fs::read(root.join(file)).ok()).flatten() else {
                return Reply::status(StatusCode::NOT_FOUND);
            };
            let mut reply = Reply::ok(media_type(file), bytes);
            if file == page && ask.host == "case.test" && ask.scheme == scheme {
                reply.headers.extend(headers.iter().cloned());
            }
            reply
        }
    }

    /// Scans the page as any other site is scanned, and returns what the check said of it.
    async fn scan(&self) -> Result<Vec<Said>, String> {
        let microsite = Microsite::serve(self.content()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("scans.db");
        let told: Arc<Mutex<Vec<ScanEvent>>> = Arc::default();
        let scanner = Scanner {
            store: store::open(Some(&database.to_string_lossy())).await.unwrap(),
            config: Arc::new(Config {
                browser: BrowserConfig {
                    processes: 1,
                    resolve: microsite.resolve.clone(),
                    trust_spki: vec![microsite.spki.clone()],
                    ..BrowserConfig::default()
                },
                ..Config::default()
            }),
            tabs: 1,
            listener: {
                let told = Arc::clone(&told);
                Arc::new(move |event| told.lock().unwrap().push(event))
            },
            stop: CancellationToken::new(),
            now: Arc::new(Timestamp::now),
        };
        let start = Start::New {
            site: Box::new(self.site()),
            trigger: Trigger::OnDemand,
        };
        let ended = scanner.scan(start).await.map_err(|error| error.to_string())?;
        microsite.stop().await;
        if ended.record.state != ScanState::Complete || ended.counts.done != 1 {
            return Err(format!("{:?}, {:?}", ended.record, ended.counts));
        }
        let told = std::mem::take(&mut *told.lock().unwrap());
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

    /// What is wrong with what the check said, if anything is.
    fn judge(&self, said: &[Said]) -> Result<(), String> {
        let expected: Vec<Flag> = self
            .case
            .flags
            .iter()
            .flat_map(|flag| std::iter::repeat_n(*flag, flag.count))
            .collect();
        if expected.len() == said.len() && can_pair(&expected, said) {
            return Ok(());
        }
        Err(format!("expected {:?}\n      but it said {said:#?}", self.case.flags))
    }
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

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn media_type(file: &str) -> &'static str {
    match file.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        other => panic!("the media type of .{other} is not known here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_say_of_each_case_what_it_expects() {
    let cases = OnDisk::all();
    let results: Vec<(&OnDisk, Result<(), String>)> = futures::stream::iter(&cases)
        .map(|case| async move {
            let said = case.scan().await;
            (case, said.and_then(|said| case.judge(&said)))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut wrong = String::new();
    for (case, result) in &results {
        let [flag, pass, failed] = counts.entry(case.check).or_default();
        *(if case.case.flags.is_empty() { pass } else { flag }) += 1;
        if let Err(why) = result {
            *failed += 1;
            writeln!(wrong, "  {} ({}): {why}", case.name, case.case.why).unwrap();
        }
    }
    eprintln!("{:<24} {:>5} {:>5} {:>6}", "check", "flag", "pass", "wrong");
    for (check, [flag, pass, failed]) in &counts {
        eprintln!("{check:<24} {flag:>5} {pass:>5} {failed:>6}");
        assert!(
            *flag >= LEAST && *pass >= LEAST,
            "{check} has too few cases of one kind"
        );
    }
    assert_eq!(counts.len(), phantom_checks::all().len(), "a check without cases");
    assert!(wrong.is_empty(), "cases that came out otherwise:\n{wrong}");
}
