//! A generated site for kills: every page is slow enough to be hit in its middle, and has a flaw.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::Severity;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Content, Files, Reply};
use phantom_gang::report::{self, Context, PageCounts};
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use phantom_gang::store;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::Bench;

/// Pages of the site.
const PAGES: u32 = 30;

const SITE: &str = r#"
id = "garden"
start = ["https://garden.test/"]
[scope]
include = ["https://garden.test/**"]
[limits]
pages_per_s = 100
concurrency = 4
"#;

/// Its content: a tree of pages; libraries come from the demo's own host for them.
struct Pages {
    demo: Files,
}

impl Content for Pages {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let after = |reply: Reply, ms: u64| reply.after(Duration::from_millis(ms));
        if ask.host == "cdn.test" {
            return after(self.demo.get(ask), 30);
        }
        if ask.host == "frame.test" {
            let form = "<form method=post action=http://frame.test/in><input type=password name=secret></form>";
            return after(Reply::html(form), 80);
        }
        let number: Option<u32> = match ask.path {
            "/" => Some(0),
            path => path.strip_prefix("/p/").and_then(|number| number.parse().ok()),
        };
        match number {
            Some(0) if !ask.has_cookie("PHPSESSID") => {
                let cookie = "PHPSESSID=q8v2m1c7z4k9x3b6n5t0; Path=/; Secure; HttpOnly; SameSite=None";
                after(Reply::html(page(0)).header("set-cookie", cookie), 40)
            }
            Some(number) if number < PAGES => after(Reply::html(page(number)), u64::from(40 + number * 37 % 90)),
            _ if ask.path.starts_with("/slow/") => after(Reply::ok("image/svg+xml", "<svg/>"), 120),
            _ => Reply::status(axum::http::StatusCode::NOT_FOUND),
        }
    }
}

fn page(number: u32) -> String {
    let mut html = format!(
        "<!doctype html><title>{number}</title><link rel=icon href=data:,><h1>Bed {number}</h1>\
         <img src=/slow/{number}.svg alt=''>"
    );
    html.push_str(match number % 5 {
        0 => "<script src=http://img.test/old.js></script>",
        1 => "<form method=post action=http://garden.test/in><input type=password name=secret></form>",
        2 => "<form method=post action=/order><input name=address><button>Order</button></form>",
        3 => "<script src=https://cdn.test/lib/jquery-1.9.1.min.js></script>",
        _ => "<iframe src=https://frame.test/></iframe>",
    });
    for child in (number * 3 + 1..=number * 3 + 3).filter(|child| *child < PAGES) {
        let _ = write!(html, "<a href=/p/{child}>Bed {child}</a> ");
    }
    html
}

/// The site, its store, and a queue for its tickets.
pub struct Garden {
    pub bench: Bench,
    pub queue: Sandbox,
}

impl Garden {
    pub async fn plant() -> Self {
        let options = SandboxOptions::default();
        let queue = Sandbox::start(SandboxOptions::default()).await.unwrap();
        let jira = format!(
            "[jira]\ndeployment = \"cloud\"\nbase_url = {:?}\nmode = \"live\"\nrequests_per_s = 100\n\
             auth = {{ kind = \"basic\", email = {:?}, token_file = \"token\" }}\n[jira.defaults]\nproject = \"SEC\"\n",
            queue.base_url(),
            options.user,
        );
        let content = Pages {
            demo: Files::demo().unwrap(),
        };
        let bench = Bench::of(content, &jira).await;
        bench.write("token", &options.token);
        bench.write("sitemaps/garden.toml", SITE);
        Self { bench, queue }
    }

    /// Requests to the site so far.
    pub fn visits(&self) -> u64 {
        self.bench.microsite.log.entries().len() as u64
    }

    /// Requests to site and queue so far.
    pub fn requests(&self) -> u64 {
        self.visits() + self.queue.requests()
    }

    /// What the newest scan came to, from the store and the queue themselves.
    pub async fn harvest(&self) -> Harvest {
        let store = store::open(Some(self.bench.path("scans.db").to_str().unwrap()))
            .await
            .unwrap();
        let scan = store.newest_scan(None).await.unwrap().expect("a scan").id;
        let context = Context {
            fail_on: Severity::High,
            browse_url: None,
            sites: None,
            now: Timestamp::now(),
        };
        let report = report::build(&*store, &scan, &context).await.unwrap();
        let mut done = Vec::new();
        for row in store.pages(&scan, PageState::Done, u32::MAX).await.unwrap() {
            let evidence = store.evidence(&scan, &row.key).await.unwrap();
            assert!(evidence.is_some(), "no evidence of {}", row.url);
            done.push(row.url);
        }
        let findings = report.findings.iter().map(|one| {
            let pages: Vec<&str> = one.pages.iter().map(|page| page.url.as_str()).collect();
            json!([
                one.check,
                one.fingerprint,
                one.severity,
                one.confidence,
                one.title,
                one.third_party,
                pages
            ])
        });
        let mut tickets: Vec<String> = self.queue.issues().into_iter().map(|one| one.summary).collect();
        tickets.sort_unstable();
        let keys: BTreeSet<String> = report
            .findings
            .iter()
            .filter_map(|one| Some(one.ticket.as_ref()?.key.clone()))
            .collect();
        assert_eq!(keys.len(), tickets.len(), "each ticket stands for one finding");
        assert_eq!(store.intent_count(None).await.unwrap(), 0, "wishes that nobody grants");
        Harvest {
            state: serde_json::to_value(report.scan.state).unwrap(),
            pages: report.scan.pages,
            done,
            findings: findings.collect(),
            tickets,
        }
    }
}

/// What a scan of the garden came to, with nothing in it that differs from run to run.
#[derive(Debug, PartialEq)]
pub struct Harvest {
    pub state: Value,
    pub pages: PageCounts,
    pub done: Vec<String>,
    pub findings: Vec<Value>,
    pub tickets: Vec<String>,
}

/// A scan that nobody disturbed.
pub struct Undisturbed {
    pub harvest: Harvest,
    pub visits: u64,
    pub requests: u64,
}

/// The same for all tests: it is made once.
pub async fn undisturbed() -> &'static Undisturbed {
    static MADE: OnceCell<Undisturbed> = OnceCell::const_new();
    MADE.get_or_init(|| async {
        let garden = Garden::plant().await;
        let ran = garden.bench.run(&["scan", "garden"]).await;
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let harvest = garden.harvest().await;
        assert_eq!(harvest.state, "complete");
        let log = garden.bench.microsite.log.entries();
        for host in ["frame.test", "cdn.test"] {
            assert!(log.iter().any(|one| one.host == host), "{host} was not asked: {log:#?}");
        }
        assert_eq!(harvest.done.len(), PAGES as usize, "{:#?}", harvest.done);
        assert_eq!(harvest.pages.known, u64::from(PAGES), "{:#?}", harvest.pages);
        let checks: BTreeSet<&str> = harvest.findings.iter().filter_map(|one| one[0].as_str()).collect();
        let core = [
            "mixed-content",
            "insecure-form",
            "vulnerable-library",
            "missing-csrf-token",
        ];
        assert!(core.iter().all(|id| checks.contains(id)), "{:#?}", harvest.findings);
        assert!(harvest.tickets.len() >= 3, "{:#?}", harvest.tickets);
        Undisturbed {
            harvest,
            visits: garden.visits(),
            requests: garden.requests(),
        }
    })
    .await
}
