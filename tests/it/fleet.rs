//! Several processes on one store: they share a scan, survive each other, and begin a night once.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_gang::scan::{ScanId, ScanRecord, ScanState, Trigger, WhichScans, Wish};
use phantom_gang::site::Site;
use phantom_gang::store;
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Child;

use crate::garden::{Garden, undisturbed};
use crate::processes::signal;
use crate::support::end_of;

/// What must come about comes about within so long on any machine.
const AT_LAST: Duration = Duration::from_mins(2);

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < AT_LAST, "it never came about: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A garden whose pages are looked at slowly enough for other processes to come.
async fn slow_garden(more: &str) -> Garden {
    let garden = Garden::plant().await;
    let file = garden.bench.path("sitemaps/garden.toml");
    let site = std::fs::read_to_string(&file).unwrap();
    let slow = site.replace("pages_per_s = 100", "pages_per_s = 3");
    assert_ne!(site, slow);
    std::fs::write(&file, slow.replacen("[scope]", &format!("{more}[scope]"), 1)).unwrap();
    garden
}

async fn scans(garden: &Garden, arguments: &[&str]) -> Vec<Value> {
    let all: Vec<_> = ["scans", "list", "--json"].iter().chain(arguments).copied().collect();
    let ran = garden.bench.run(&all).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

async fn kill(mut child: Child) {
    child.start_kill().unwrap();
    child.wait().await.unwrap();
}

/// A scan, two workers, and death: of the first worker, then of the process that began the scan.
#[tokio::test(flavor = "multi_thread")]
async fn workers_help_and_take_over() {
    let calm = undisturbed().await;
    let garden = slow_garden("").await;
    let scan = garden
        .bench
        .command(&["scan", "garden", "--tabs", "2"])
        .spawn()
        .unwrap();
    let third = calm.visits / 3;
    until("the scan is under way", async || garden.visits() >= third / 2).await;
    let first = garden.bench.command(&["work", "--tabs", "2"]).spawn().unwrap();
    until("the first worker works", async || garden.visits() >= third).await;
    kill(first).await;
    kill(scan).await;
    let second = garden.bench.command(&["work", "--tabs", "2"]).spawn().unwrap();
    let store = store::open(garden.bench.path("scans.db").to_str()).await.unwrap();
    until("the second worker ends the scan and files its tickets", async || {
        store.scan_lines(WhichScans::Running, 1).await.unwrap().is_empty()
            && store.intent_count(None).await.unwrap() == 0
    })
    .await;
    assert_eq!(garden.harvest().await, calm.harvest);
    let ended = scans(&garden, &[]).await;
    assert_eq!(ended.len(), 1, "{ended:#?}");
    assert_eq!(ended[0]["state"], "complete", "{ended:#?}");
    signal(second.id().unwrap(), Signal::TERM);
    let ran = end_of(second).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.stdout.contains("garden: complete"), "{ran:#?}");
}

/// Two processes find one night due; one scans. What a person lets wait goes on with the next that may.
#[tokio::test(flavor = "multi_thread")]
async fn a_night_is_scanned_once_and_can_wait() {
    let calm = undisturbed().await;
    let garden = slow_garden("schedule = { cron = \"0 2 * * *\", timezone = \"Europe/Berlin\" }\n").await;
    let night = || garden.bench.command(&["nightly", "--tabs", "2"]).spawn().unwrap();
    let (one, other) = (night(), night());
    until("the night is under way", async || garden.visits() >= calm.visits / 3).await;
    let running = scans(&garden, &["--open"]).await;
    assert_eq!(running.len(), 1, "{running:#?}");
    let id = running[0]["scan"].as_str().unwrap();
    let ran = garden.bench.run(&["pause", id]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let (one, other) = (end_of(one).await, end_of(other).await);
    let mut codes = [one.code, other.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(3)], "{one:#?}{other:#?}");
    let paused = garden.bench.run(&["nightly"]).await;
    assert!(
        paused.stdout.contains("nothing is due; "),
        "nothing while it is to wait: {paused:#?}"
    );
    let waits = format!("garden waits, because its scan is paused; to let it go on: phantom resume {id}");
    assert!(paused.stdout.contains(&waits), "{paused:#?}");
    assert_eq!(scans(&garden, &["--open"]).await[0]["state"], "paused");
    assert_eq!(garden.bench.run(&["resume", id]).await.code, Some(0));
    let ran = garden.bench.run(&["nightly", "--tabs", "2"]).await;
    assert_eq!(ran.code, Some(1), "it has found something bad: {ran:#?}");
    let total = "1 scan: 1 with findings at or above high; ";
    assert!(
        ran.stdout.lines().last().unwrap().starts_with(total),
        "a table and a line: {ran:#?}"
    );
    let row = ran.stdout.lines().find(|line| line.starts_with("garden  findings "));
    assert!(row.is_some_and(|row| row.contains(" filed")), "{ran:#?}");
    assert!(
        ran.stdout.contains("1 finding at or above high: SEC-"),
        "it says why: {ran:#?}"
    );
    assert_eq!(garden.harvest().await, calm.harvest);
    let ran = garden.bench.run(&["nightly"]).await;
    assert!(
        ran.stdout.contains("nothing is due; next: garden at "),
        "it is not due again: {ran:#?}"
    );
    let log = garden.bench.run(&["audit"]).await;
    assert!(
        log.stdout.contains("scan-paused") && log.stdout.contains("scan-resumed"),
        "{log:#?}"
    );
    let begun = log.stdout.lines().filter(|line| line.contains("scan-started"));
    let begun: Vec<_> = begun.collect();
    assert_eq!(begun.len(), 1, "{log:#?}");
    assert!(
        begun[0].contains("schedule@") && begun[0].contains(id) && begun[0].contains("(garden, due "),
        "{begun:?}"
    );
}

/// A scan at a terminal is paused from elsewhere and goes on when it is said so; `--events` is lines of JSON and nothing
/// else; `phantom stop --all` ends what is not over. Whoever asks gets the same word for where it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_watched_paused_and_stopped_from_elsewhere() {
    let garden = slow_garden("").await;
    let scan = garden.bench.command(&["scan", "garden"]).spawn().unwrap();
    until("the scan is under way", async || garden.visits() >= 5).await;
    let running = scans(&garden, &["--open"]).await;
    assert_eq!(running[0]["state"], "running", "{running:#?}");
    let id = running[0]["scan"].as_str().unwrap();
    let resume = format!("phantom resume {id}");
    let ran = garden.bench.run(&["pause", id]).await;
    assert!(
        ran.stdout.contains("is pausing") && ran.stdout.contains(&resume),
        "{ran:#?}"
    );
    let ran = end_of(scan).await;
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    assert!(ran.stdout.contains("Paused"), "{ran:#?}");
    let paused = scans(&garden, &["--open"]).await;
    assert_eq!(paused[0]["state"], "paused", "{paused:#?}");
    let watching = garden.bench.command(&["scans", "watch", id]).spawn().unwrap();
    let ran = garden.bench.run(&["resume", id]).await;
    assert!(
        ran.stdout.contains("is waiting: ") && ran.stdout.contains(&format!("at once: phantom scan --resume {id}")),
        "{ran:#?}"
    );
    let waiting = scans(&garden, &["--open"]).await;
    assert_eq!(waiting[0]["state"], "waiting", "{waiting:#?}");

    let done = |scans: &[Value]| scans[0]["pages_done"].as_u64().unwrap();
    let scan = garden
        .bench
        .command(&["scan", "--resume", id, "--events"])
        .spawn()
        .unwrap();
    until("it goes on", async || done(&scans(&garden, &[]).await) > done(&waiting)).await;
    let ran = garden.bench.run(&["stop", "--all"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let ran = end_of(scan).await;
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    let stopped = scans(&garden, &[]).await;
    assert_eq!(stopped[0]["state"], "stopped", "{stopped:#?}");
    assert_eq!(scans(&garden, &["--open"]).await, [] as [Value; 0]);
    let watched = end_of(watching).await;
    assert_eq!(watched.code, Some(130), "{watched:#?}");
    let last = watched.stdout.lines().last().unwrap();
    assert!(last.starts_with("stopped "), "{watched:#?}");
    let again = garden.bench.run(&["pause", id]).await;
    assert!(again.stderr.contains("is stopped already"), "{again:#?}");
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named = |name: &str| events.iter().any(|event| event["event"] == name);
    assert_eq!(events.last().unwrap()["event"], "verdict", "{events:#?}");
    let finished = events.iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!(finished["data"]["state"], "stopped");
    assert!(
        named("started") && named("page-started") && named("wished") && named("finished"),
        "{events:#?}"
    );
    let log = garden.bench.run(&["audit", "--json"]).await;
    let log: Value = serde_json::from_str(&log.stdout).unwrap();
    let whats: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        whats,
        [
            "scan-stopped",
            "scan-resumed",
            "scan-resumed",
            "scan-paused",
            "scan-started"
        ]
    );
}

/// What processes left behind when they died, even a look, or a scan that was told to stop before, keeps `phantom stop
/// --all` from nothing, and is closed for good.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_left_is_stopped_with_the_rest() {
    let garden = Garden::plant().await;
    let store = store::open(garden.bench.path("scans.db").to_str()).await.unwrap();
    let site = || Site::adhoc(&"http://shop.test/".parse().unwrap()).unwrap();
    let now = Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let left = [
        ("dead", Trigger::OnDemand, None, Some(now - hour)),
        ("told", Trigger::Nightly, Some(Wish::Stop), Some(now - hour)),
        ("look", Trigger::Verify, None, Some(now - hour)),
        ("never", Trigger::OnDemand, None, None),
        ("alive", Trigger::OnDemand, None, Some(now + hour)),
    ];
    for (id, trigger, wish, until) in left {
        let id = ScanId(id.to_owned());
        let scan = ScanRecord::begun(id.clone(), site(), trigger, now - hour);
        store.create_scan(&scan, &[]).await.unwrap();
        store.set_wish(&id, wish).await.unwrap();
        if let Some(until) = until {
            let owner = Some("elsewhere:7:7");
            assert!(store.hand_over_scan(&id, None, owner, until).await.unwrap());
        }
    }
    let once = garden.bench.run(&["pause", "told"]).await;
    assert!(once.stderr.contains("is stopped already"), "{once:#?}");
    let ran = garden.bench.run(&["stop", "--all"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.stdout.lines().count(), left.len(), "{ran:#?}");
    for (id, ..) in left {
        let line = store.scan_line(&ScanId(id.to_owned())).await.unwrap().unwrap();
        let state = if id == "alive" {
            ScanState::Running
        } else {
            ScanState::Interrupted
        };
        assert_eq!((line.state, line.wish), (state, Some(Wish::Stop)), "{id}");
        assert_eq!(line.ended.is_some(), id != "alive", "{id}");
    }
    let open = scans(&garden, &["--open"]).await;
    assert_eq!((open.len(), &open[0]["state"]), (1, &"stopping".into()), "{open:#?}");
    let again = garden.bench.run(&["stop", "told"]).await;
    assert!(again.stderr.contains("is stopped already"), "{again:#?}");
}

/// A process that serves tells how it is, counts what it does, and logs as JSON with the ids of scan and page.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_serves_tells_how_it_is() {
    let garden = slow_garden("schedule = { cron = \"0 2 * * *\" }\n").await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let at = format!("127.0.0.1:{port}");
    let mut command = garden.bench.command(&["serve", "--tabs", "2", "--status", &at]);
    let serving = command.env("PHANTOM_LOG", "json").spawn().unwrap();
    until("it is well", async || {
        garden.bench.run(&["health", &at]).await.code == Some(0)
    })
    .await;
    let metrics = async || text_at(&format!("http://{at}/metrics")).await;
    until("a page is counted", async || {
        let text = metrics().await;
        text.lines()
            .any(|line| line.starts_with("phantom_pages_total{outcome=\"done\"}") && !line.ends_with(" 0"))
    })
    .await;
    let text = metrics().await;
    for name in [
        "phantom_queue_pages",
        "phantom_leases",
        "phantom_browser_restarts_total",
        "phantom_tickets_waiting",
        "phantom_oldest_intent_seconds",
        "phantom_store_up 1",
    ] {
        assert!(text.contains(name), "{name} in\n{text}");
    }
    assert_eq!(text_at(&format!("http://{at}/ready")).await, "ok\n");
    let scan = scans(&garden, &["--open"]).await[0]["scan"]
        .as_str()
        .unwrap()
        .to_owned();
    signal(serving.id().unwrap(), Signal::TERM);
    let ran = end_of(serving).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let logged = |line: &str| serde_json::from_str::<Value>(line).ok();
    let mut lines = ran.stderr.lines().filter_map(logged);
    assert!(
        lines.any(|line| line["scan"] == *scan && line["page"].as_str().is_some_and(|page| page.contains("garden.test"))),
        "{}",
        ran.stderr
    );
    assert_eq!(garden.bench.run(&["health", &at]).await.code, Some(3), "it is gone");
}

async fn text_at(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask.as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)
        .await
        .unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap()
}
