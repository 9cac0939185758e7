//! `phantom verify`: a look at one finding, which answers in seconds and changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply, Scheme};
use phantom_gang::jira::plain_adf;
use phantom_gang::sandbox::{Sandbox, SandboxIssue, SandboxOptions};
use serde_json::Value;

use crate::support::{Bench, Ran, settings};

/// The flaw is on two of the pages, as long as there is a session.
const FLAWED: u32 = 1;
/// One of these does not answer as expected.
const BROKEN: u32 = 2;
/// Whatever is not there is said with status 200, as are these pages now.
const LOST: u32 = 4;
/// They show the page where people log in.
const LOCKED: u32 = 8;

const SITE: &str = "id = \"shop\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 1000\n";

const LOG_IN: &str = "<form method=post action=/session><input name=user><input type=password name=pass>\
    <input type=hidden name=csrf_token value=0123456789abcdef0123456789abcdef></form><p>Tell us who you are.";

fn shop(ask: &Ask<'_>, now: u32) -> Reply {
    if ask.host != "shop.test" || ask.scheme != Scheme::Https {
        return Reply::status(StatusCode::NOT_FOUND);
    }
    let links = "<a href=/p/1>1</a><a href=/p/2>2</a><a href=/p/3>3</a><a href=/p/4>4</a><a href=/log-in>In</a>";
    let flaw = "<form method=post action=\"http://login.test/in\"><input type=password name=p></form>";
    let page = |what: &str| {
        Reply::html(format!(
            "<!doctype html><title>shop</title><link rel=icon href=data:,>{what}"
        ))
    };
    match ask.path {
        "/" => page(links).header("set-cookie", "begun=1; Path=/; Secure; HttpOnly"),
        "/log-in" => page(LOG_IN),
        path if path.starts_with("/p/") && now & LOCKED != 0 => page(LOG_IN),
        path if path != "/robots.txt" && now & LOST != 0 => {
            page("Whatever you looked for, we cannot find it anywhere.")
        }
        "/p/1" if now & BROKEN != 0 => Reply::status(StatusCode::INTERNAL_SERVER_ERROR),
        "/p/1" | "/p/2" if now & FLAWED != 0 && ask.has_cookie("begun") => page(&format!("{flaw}{links}")),
        path if path.starts_with("/p/") => page(&format!("nothing of {path}")),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

/// A site that was scanned, with a ticket for its flaw.
struct Filed {
    bench: Bench,
    queue: Sandbox,
    now: Arc<AtomicU32>,
    fingerprint: String,
    key: String,
}

impl Filed {
    async fn new() -> Self {
        let now = Arc::new(AtomicU32::new(FLAWED));
        let seen = Arc::clone(&now);
        let options = SandboxOptions::default();
        let (user, token) = (options.user.clone(), options.token.clone());
        let queue = Sandbox::start(options).await.unwrap();
        let jira = format!(
            "processes = 1\n[jira]\ndeployment = \"cloud\"\nbase_url = {:?}\nmode = \"live\"\nrequests_per_s = 100\n\
             auth = {{ kind = \"basic\", email = {user:?}, token_file = \"token\" }}\n[jira.defaults]\nproject = \"SEC\"\n",
            queue.base_url(),
        );
        let site = move |ask: &Ask<'_>| shop(ask, seen.load(Ordering::Relaxed));
        let bench = Bench::of(site, &jira).await;
        bench.write("token", &token);
        bench.write("sitemaps/shop.toml", SITE);
        bench.write("untold.toml", &settings(&bench.microsite, ""));
        let ran = bench.run(&["scan", "shop"]).await;
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let mut filed = Self {
            bench,
            queue,
            now,
            fingerprint: String::new(),
            key: String::new(),
        };
        let all = filed
            .json(&["findings", "list", "--check", "insecure-form", "--json"])
            .await;
        filed.fingerprint = all[0]["fingerprint"].as_str().unwrap().to_owned();
        let sheet = filed.sheet().await;
        sheet["ticket"]["key"].as_str().unwrap().clone_into(&mut filed.key);
        filed
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.bench.run(arguments).await;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// All that is known of the finding.
    async fn sheet(&self) -> Value {
        self.json(&["findings", "show", &self.fingerprint, "--json"]).await
    }

    fn ticket(&self) -> SandboxIssue {
        self.queue.issue(&self.key).unwrap()
    }

    fn set(&self, now: u32) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Looks at the finding; a busy machine may keep a page from loading in full, which rightly proves nothing.
    async fn verify(&self, arguments: &[&str], expected: i32) -> Ran {
        let all = [&["verify"], arguments].concat();
        let mut ran = self.bench.run(&all).await;
        for _ in 0..4 {
            if ran.code == Some(3) && expected == 0 {
                ran = self.bench.run(&all).await;
            }
        }
        assert_eq!(ran.code, Some(expected), "{ran:#?}");
        ran
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_says_whether_it_is_there_and_changes_nothing() {
    let filed = Filed::new().await;
    let (finding, ticket) = (filed.sheet().await, filed.ticket());
    assert_eq!(finding["finding"]["state"], "new", "{finding:#}");

    // Still there, by key: nothing but its pages is visited, after the page that begins the session.
    let before = filed.bench.microsite.log.entries().len();
    let ran = filed.verify(&[&filed.key], 1).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:#?}");
    assert!(
        lines[..2].iter().all(|line| line.starts_with("still there")),
        "{ran:#?}"
    );
    assert!(
        lines[2].starts_with("still there: ") && lines[2].contains(&filed.key),
        "{ran:#?}"
    );
    let log = filed.bench.microsite.log.entries();
    let nothing = |path: &str| path.starts_with("/phantom-gang-asks-for-nothing-");
    let mut visited: BTreeSet<&str> = log[before..].iter().map(|one| one.path.as_str()).collect();
    visited.retain(|path| !nothing(path));
    assert_eq!(visited, ["/", "/p/1", "/p/2", "/robots.txt"].into(), "{visited:?}");

    // By the first digits, for machines.
    let ran = filed.verify(&[&filed.fingerprint[..12], "--json"], 1).await;
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&told["presence"], &told["ticket"]),
        (&"still-there".into(), &filed.key.clone().into())
    );
    assert_eq!(told["pages"].as_array().unwrap().len(), 2, "{told:#}");
    assert_eq!(told["comment"], Value::Null);
    eprintln!("one finding on two pages: {} s", told["seconds"]);

    // One page does not answer: the other one still shows it. Without the flaw nothing can be said.
    filed.set(FLAWED | BROKEN);
    let ran = filed.verify(&[&filed.key], 1).await;
    assert!(
        ran.stdout
            .contains("could not reach  https://shop.test/p/1: the server answered 500"),
        "{ran:#?}"
    );
    filed.set(BROKEN);
    let ran = filed.verify(&[&filed.key], 3).await;
    assert!(
        ran.stdout
            .contains("why: https://shop.test/p/1: the server answered 500"),
        "{ran:#?}"
    );
    for (now, why) in [(LOST, "a page that says there is none"), (LOCKED, "a login page")] {
        filed.set(now);
        let ran = filed.verify(&[&filed.key], 3).await;
        for page in 1..=2 {
            let said = format!("https://shop.test/p/{page}: something else answered in its place, {why}");
            assert!(ran.stdout.contains(&format!("could not reach  {said}")), "{ran:#?}");
        }
        assert!(ran.stdout.contains("why: https://shop.test/p/"), "{ran:#?}");
    }
    assert!(filed.ticket().comments.is_empty(), "nobody asked for a comment");

    // Taken away: gone, said once however often it is asked.
    filed.set(0);
    for said in ["says so now", "says so already"] {
        let ran = filed.verify(&[&filed.key.to_lowercase(), "--comment"], 0).await;
        assert!(ran.stdout.contains(&format!("{} {said}", filed.key)), "{ran:#?}");
        assert!(ran.stdout.lines().next().unwrap().starts_with("gone"), "{ran:#?}");
    }
    let comments: Vec<String> = filed.ticket().comments.iter().map(|one| plain_adf(&one.body)).collect();
    let gone = comments.iter().filter(|text| text.starts_with("Gone on ")).count();
    assert_eq!((gone, filed.queue.issues().len()), (1, 1), "{comments:#?}");

    let after = filed.ticket();
    assert_eq!((after.status, after.resolution), (ticket.status, ticket.resolution));
    assert_eq!(after.description, ticket.description);
    assert_eq!(
        filed.sheet().await,
        finding,
        "what a look saw, or did not see, is no judgement"
    );
    let resumed = filed.bench.run(&["scan", "--resume"]).await;
    assert!(resumed.stderr.contains("waits to be resumed"), "{resumed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_wrongly_is_told_what_to_do() {
    let filed = Filed::new().await;
    for (arguments, told) in [
        (&["SEC-99"] as &[&str], "`phantom tickets list`"),
        (&["ffffffffffff"], "`phantom findings list`"),
        (
            &[&filed.key, "--comment", "--config", "untold.toml"],
            "--comment needs a [jira] section",
        ),
        (&[&filed.key, "--store", "sqlite:none.db"], "no ticket"),
    ] {
        let ran = filed.verify(arguments, 2).await;
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:#?}");
    }
    // Nobody listens there any more.
    let everything = filed
        .bench
        .microsite
        .resolve
        .iter()
        .map(|(name, _)| format!("{name:?} = \"127.0.0.1:1\""));
    let elsewhere = format!(
        "store = \"sqlite:scans.db\"\n[browser]\nresolve = {{ {} }}\n",
        everything.collect::<Vec<_>>().join(", ")
    );
    filed.bench.write("elsewhere.toml", &elsewhere);
    let ran = filed.verify(&[&filed.key, "--config", "elsewhere.toml"], 3).await;
    assert_eq!(ran.stdout.matches("could not reach").count(), 3, "{ran:#?}");
    assert!(ran.stdout.contains("why: https://shop.test/p/"), "{ran:#?}");
}
