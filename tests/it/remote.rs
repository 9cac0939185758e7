//! Browsers that somebody else runs (`browser.endpoints`): scans share them out, survive their deaths, and leave what is
//! not theirs alone.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use phantom_gang::demo::{Ask, Microsite, Reply};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::processes::{Herd, kill};
use crate::support::{Bench, command, end_of, settings};

/// How long a browser may take to listen on a busy machine, and anything else that is waited for.
const LONGEST: Duration = Duration::from_mins(1);
const TICK: Duration = Duration::from_millis(10);
const PAGES: usize = 30;

/// A browser that is not a scan's own.
pub struct Remote {
    pub port: u16,
    child: Child,
    _folder: TempDir,
}

impl Remote {
    /// `phantom browser`, which trusts these keys.
    pub async fn start(trusted: &[&str]) -> Self {
        let (folder, port) = place(trusted);
        let listen = port.to_string();
        let child = command(folder.path(), &["browser", "--listen", &listen])
            .spawn()
            .unwrap();
        Self::listening(child, folder, port).await
    }

    /// The browser itself, by the command line that `phantom browser --print` says.
    async fn by_hand(trusted: &[&str]) -> Self {
        let (folder, port) = place(trusted);
        let listen = port.to_string();
        let printed = command(folder.path(), &["browser", "--print", "--listen", &listen])
            .spawn()
            .unwrap();
        let printed = end_of(printed).await;
        assert_eq!(printed.code, Some(0), "{printed:#?}");
        let profile = folder.path().join("profile").display().to_string();
        let line = printed.stdout.replace("/tmp/phantom-gang-browser", &profile);
        Self::listening(shell(&format!("exec {line}")), folder, port).await
    }

    /// A browser that nobody has told anything.
    async fn careless() -> Self {
        let (folder, port) = place(&[]);
        let profile = folder.path().join("profile");
        let line = format!(
            "exec /usr/lib/chromium/chromium-headless-shell --headless --no-sandbox --remote-debugging-port={port} \
             --user-data-dir={} about:blank",
            profile.display()
        );
        Self::listening(shell(&line), folder, port).await
    }

    async fn listening(child: Child, folder: TempDir, port: u16) -> Self {
        let remote = Self {
            port,
            child,
            _folder: folder,
        };
        let until = Instant::now() + LONGEST;
        while remote.ask("GET", "/json/version").await.is_none() {
            assert!(Instant::now() < until, "it does not listen");
            tokio::time::sleep(TICK).await;
        }
        remote
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, method: &str, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        // It keeps the connection open, whatever it is asked.
        loop {
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n")
                && let Ok(value) = serde_json::from_slice(&answer[end + 4..])
            {
                return Some(value);
            }
            match tokio::time::timeout(LONGEST, stream.read(&mut part)).await.ok()?.ok()? {
                0 => return None,
                read => answer.extend(&part[..read]),
            }
        }
    }

    /// Ids and addresses of its tabs.
    async fn tabs(&self) -> Vec<[String; 2]> {
        let list = self.ask("GET", "/json/list").await.unwrap_or_default();
        let text = |tab: &Value, key: &str| tab[key].as_str().unwrap_or_default().to_owned();
        let pages = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|tab| tab["type"] == "page");
        let mut tabs: Vec<_> = pages.map(|tab| ["id", "url"].map(|key| text(tab, key))).collect();
        tabs.sort();
        tabs
    }

    async fn until_its_tabs_are(&self, expected: &[[String; 2]]) {
        let until = Instant::now() + LONGEST;
        loop {
            let tabs = self.tabs().await;
            if tabs == expected {
                return;
            }
            assert!(Instant::now() < until, "{tabs:#?} instead of {expected:#?}");
            tokio::time::sleep(TICK).await;
        }
    }

    /// Kills the browser itself.
    fn kill(&self) {
        let own = self.child.id().unwrap();
        let below = Herd::of(own).look();
        let browser = below.iter().find(|one| one.is_browser()).map_or(own, |one| one.pid);
        kill(browser);
    }
}

fn place(trusted: &[&str]) -> (TempDir, u16) {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    std::fs::write(
        folder.path().join("phantom.toml"),
        format!("[browser]\ntrust_spki = {trusted:?}\n"),
    )
    .unwrap();
    (folder, port)
}

fn shell(line: &str) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Writes settings anew, so that these are the browsers.
pub fn use_remote(bench: &Bench, endpoints: &str) {
    let more = format!("endpoints = [{endpoints}]\ntabs = 4\n");
    bench.write("phantom.toml", &settings(&bench.microsite, &more));
}

/// Many pages that take a while.
fn garden(ask: &Ask<'_>) -> Reply {
    let page = |text: &str| Reply::html(format!("<!doctype html><title>{text}</title><p>{text} of {}", ask.path));
    match ask.path {
        "/" => {
            let links = (0..PAGES).map(|number| format!("<a href=/bed/{number}/{}>x</a> ", number % 7));
            Reply::html(format!(
                "<!doctype html><title>Garden</title>{}",
                links.collect::<String>()
            ))
        }
        path if path.starts_with("/bed/") => page("A bed").after(Duration::from_millis(150)),
        _ => Reply::status(axum::http::StatusCode::NOT_FOUND),
    }
}

const SITE: &str = "id = \"garden\"\nstart = [\"https://garden.test/\"]\n[limits]\npages_per_s = 1000\nconcurrency = 4\n\
                    pages_per_template = 100\n[explore]\nmode = \"observe\"\n";

fn beds(microsite: &Microsite) -> Vec<String> {
    let entries = microsite.log.entries();
    entries
        .into_iter()
        .map(|entry| entry.path)
        .filter(|path| path.starts_with("/bed/"))
        .collect()
}

async fn planted() -> Bench {
    let bench = Bench::of(garden, "").await;
    bench.write("garden.toml", SITE);
    bench
}

const SCAN: [&str; 6] = [
    "scan",
    "garden.toml",
    "--tickets",
    "off",
    "--report",
    "json=report.json",
];

fn assert_whole(bench: &Bench) {
    let report = bench.report();
    let pages = &report["scan"]["pages"];
    let whole = PAGES + 1;
    assert_eq!(
        (&pages["done"], &pages["known"]),
        (&whole.into(), &whole.into()),
        "{report:#}"
    );
    assert_eq!(report["scan"]["state"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_shares_out_its_tabs_by_weight_and_leaves_the_tabs_of_others_alone() {
    let bench = planted().await;
    let spki = [bench.microsite.spki.as_str()];
    let (first, second) = tokio::join!(Remote::start(&spki), Remote::by_hand(&spki));
    first
        .ask("PUT", "/json/new?data:text/html,<title>mine</title><input%20value=x>")
        .await
        .unwrap();
    let before = [first.tabs().await, second.tabs().await];
    assert!(before[0].iter().any(|[_, url]| url.contains("mine")), "{before:?}");
    use_remote(
        &bench,
        &format!("{{ url = {:?}, weight = 3 }}, {:?}", first.url(), second.url()),
    );

    let mut child = bench.command(&SCAN).spawn().unwrap();
    let mut shares = BTreeMap::new();
    while child.try_wait().unwrap().is_none() {
        let mut tabs = [0; 2];
        for (tabs, (remote, before)) in tabs.iter_mut().zip([&first, &second].into_iter().zip(&before)) {
            let of_the_garden = remote.tabs().await.into_iter().filter(|tab| !before.contains(tab));
            *tabs = of_the_garden.count();
        }
        *shares.entry(tabs).or_insert(0) += 1;
        tokio::time::sleep(TICK).await;
    }
    let ran = end_of(child).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_whole(&bench);
    assert_eq!(beds(&bench.microsite).len(), PAGES, "each page was asked for once");
    // For a moment there are others: one that is being closed, one that looks for our proxy.
    let all = shares.iter().filter(|(tabs, _)| tabs.iter().sum::<usize>() == 4);
    let most = all.max_by_key(|(_, times)| **times).map(|(tabs, _)| *tabs);
    assert_eq!(most, Some([3, 1]), "{shares:?}");
    for (remote, before) in [&first, &second].into_iter().zip(&before) {
        remote.until_its_tabs_are(before).await;
    }
    // Whatever is asked of the logs, they do not tell what lets in there.
    use_remote(&bench, &format!("\"{}/?token=hunter2\"", first.url()));
    let mut doctor = bench.command(&["doctor"]);
    doctor.env("RUST_LOG", "tungstenite::handshake=trace,async_tungstenite=trace");
    let ran = end_of(doctor.spawn().unwrap()).await;
    assert!(
        !ran.stderr.contains("hunter2") && !ran.stdout.contains("hunter2"),
        "{ran:#?}"
    );
    for entry in bench.microsite.log.entries() {
        let agent = &entry.user_agent;
        assert!(
            agent.contains("phantom-gang") && !agent.contains("Headless"),
            "{}: {agent}",
            entry.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_browser_that_is_killed_loses_no_page() {
    let bench = planted().await;
    let spki = [bench.microsite.spki.as_str()];
    let (first, second) = tokio::join!(Remote::start(&spki), Remote::start(&spki));
    use_remote(&bench, &format!("{:?}, {:?}", first.url(), second.url()));
    let mut child = bench.command(&SCAN).spawn().unwrap();
    while beds(&bench.microsite).len() < PAGES / 3 && child.try_wait().unwrap().is_none() {
        tokio::time::sleep(TICK).await;
    }
    first.kill();
    let ran = end_of(child).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_whole(&bench);
    let report = bench.report();
    let remarks = report["scan"]["remarks"].as_array().unwrap();
    let of_it = remarks
        .iter()
        .filter(|remark| remark.as_str().unwrap().contains(&first.url()));
    assert_eq!(of_it.count(), 1, "its death is said, once: {remarks:#?}");
    let asked = beds(&bench.microsite).len();
    assert!(
        (PAGES..=PAGES + 4).contains(&asked),
        "{asked}: what was under way is looked at again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fit_browser_it_is_said_of_each_what_is_wrong_and_the_scan_goes_on_later() {
    let bench = planted().await;
    let spki = [bench.microsite.spki.as_str()];
    let careless = Remote::careless().await;
    let nowhere = "http://me:hunter2@127.0.0.1:1/hunter2?token=hunter2";
    use_remote(&bench, &format!("{nowhere:?}, {:?}", careless.url()));
    for arguments in [&SCAN[..], &["doctor"], &["scan", "garden.toml", "-vv"]] {
        let ran = bench.run(arguments).await;
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        let said = [ran.stdout, ran.stderr].concat();
        let careless = format!("{} does not say how it was started", careless.url());
        for says in ["http://127.0.0.1:1 does not answer", &careless, "browser.endpoints"] {
            let is_doctors = arguments == ["doctor"] && says == "browser.endpoints";
            assert!(said.contains(says) || is_doctors, "{says}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }

    let remote = Remote::start(&spki).await;
    use_remote(&bench, &format!("{nowhere:?}, {:?}", remote.url()));
    let mut child = bench.command(&SCAN).spawn().unwrap();
    while beds(&bench.microsite).len() < PAGES / 3 && child.try_wait().unwrap().is_none() {
        tokio::time::sleep(TICK).await;
    }
    remote.kill();
    let ran = end_of(child).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let said = [ran.stdout, ran.stderr].concat();
    assert!(said.contains(&format!("{} does not answer", remote.url())), "{said}");
    assert!(!said.contains("replaced"), "there is nothing to replace it by: {said}");
    assert!(!said.contains("hunter2"), "{said}");

    let another = Remote::start(&spki).await;
    use_remote(&bench, &format!("{:?}", another.url()));
    let ran = bench
        .run(&["scan", "--resume", "--report", "json=report.json", "--tickets", "off"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_whole(&bench);
}

/// Pages that send without end.
fn talking(ask: &Ask<'_>) -> Reply {
    match ask.path {
        path if path.starts_with("/api/") => Reply::html("x"),
        _ => {
            let links = (0..40).map(|number| format!("<a href=/talk/{number}/{}>x</a> ", number % 7));
            let page = Reply::html(format!(
                "<!doctype html><title>{}</title>{}<script>setInterval(() => fetch('/api/loop', {{ method: 'POST' }}), 5);\
                 addEventListener('pagehide', () => navigator.sendBeacon('/api/last', 'x'))</script>",
                ask.path,
                links.collect::<String>()
            ));
            page.after(Duration::from_millis(100))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_takes_all_of_its_tabs_along_and_nothing_leaves_them() {
    let bench = Bench::of(talking, "").await;
    bench.write("garden.toml", SITE);
    let remote = Remote::start(&[&bench.microsite.spki]).await;
    let before = remote.tabs().await;
    use_remote(&bench, &format!("{:?}", remote.url()));
    for round in 1..=2 {
        let mut child = bench.command(&SCAN).spawn().unwrap();
        let seen = bench.microsite.log.entries().len();
        while bench.microsite.log.entries().len() < seen + 6 * round && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(TICK).await;
        }
        kill(child.id().expect("it has pages left"));
        end_of(child).await;
        remote.until_its_tabs_are(&before).await;
    }
    let sent = bench
        .microsite
        .log
        .entries()
        .into_iter()
        .filter(|entry| entry.method == "POST");
    assert_eq!(sent.map(|entry| entry.path).collect::<Vec<_>>(), [""; 0]);
}
