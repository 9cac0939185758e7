//! Ten nights over a site whose flaws come, go and return, while people close, suppress, move and delete tickets: what
//! becomes of every finding and its ticket, night by night, and the whole history of each ticket.
//!
//! `cargo run --example nights [datacenter]`. Real browsers scan a real site; nights pass by a clock that jumps. Ends
//! with 1 if a step is not the one that the state table asks for.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use phantom_gang::config::{Deployment, Resolve};
use phantom_gang::demo::{Ask, Reply, Scheme};
use phantom_gang::sandbox::{Sandbox, SandboxIssue, SandboxOptions};
use phantom_gang::tickets::{self, Event};
use phantom_gang::triage::{Finding, Fingerprint, PICTURE_PREFIX};
use support::{DAY, Result, Stage, StageClock, expect};

const NIGHTS: usize = 10;
const SITE: &str = "id = \"nights\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n\
                    [limits]\npages_per_s = 1000\n[checks]\ndisable = [\"missing-csrf-token\"]\n";

/// One flaw through the nights.
struct Story {
    name: char,
    about: &'static str,
    /// On how many pages it is, night by night.
    pages: [usize; NIGHTS],
    /// The finding's state after each night, and what was done to its ticket.
    steps: [(&'static str, &'static str); NIGHTS],
}

const STORIES: [Story; 8] = [
    Story {
        name: 'a',
        about: "goes, returns; its page fails in night 8 and is refused in night 9",
        pages: [1, 1, 0, 0, 1, 1, 1, 1, 1, 1],
        steps: [
            ("new", "created"),
            ("seen", ""),
            ("not-observed", ""),
            ("fixed", "say-fixed, resolve"),
            // It was resolved less than a day before.
            ("regressed", ""),
            ("regressed", "reopen"),
            ("regressed", ""),
            ("not-observed", ""),
            ("not-observed", ""),
            ("seen", ""),
        ],
    },
    Story {
        name: 'b',
        about: "closed by a person three times, and still there",
        pages: [1; NIGHTS],
        steps: [
            ("new", "created"),
            ("seen", ""),
            ("seen", ""),
            ("seen", "reopen"),
            ("seen", ""),
            ("seen", ""),
            ("seen", "reopen"),
            ("seen", ""),
            ("seen", "say-still-there"),
            ("seen", ""),
        ],
    },
    Story {
        name: 'c',
        about: "won't do; taken back; then the label",
        pages: [1; NIGHTS],
        steps: [
            ("new", "created"),
            ("suppressed", "suppress"),
            ("suppressed", ""),
            ("suppressed", ""),
            ("suppressed", ""),
            ("seen", "unsuppress"),
            ("seen", ""),
            ("suppressed", "suppress"),
            ("suppressed", ""),
            ("suppressed", ""),
        ],
    },
    Story {
        name: 'd',
        about: "moved to another project, then fixed",
        pages: [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        steps: [
            ("new", "created"),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("not-observed", ""),
            ("fixed", "say-fixed, resolve"),
            ("fixed", ""),
            ("fixed", ""),
            ("fixed", ""),
            ("fixed", ""),
        ],
    },
    Story {
        name: 'e',
        about: "its ticket is deleted; later a person wants a new one",
        pages: [1; NIGHTS],
        steps: [
            ("new", "created"),
            ("seen", ""),
            ("seen", ""),
            ("seen", "gone"),
            ("seen", "gone"),
            ("seen", "gone for good"),
            ("seen", "gone"),
            ("seen", "created"),
            ("seen", ""),
            ("seen", ""),
        ],
    },
    Story {
        name: 'f',
        about: "comes late, and spreads in night 7",
        pages: [0, 0, 0, 0, 1, 1, 12, 12, 12, 12],
        steps: [
            ("none", ""),
            ("none", ""),
            ("none", ""),
            ("none", ""),
            ("new", "created"),
            ("seen", ""),
            ("seen", "say-worse, edit"),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
        ],
    },
    Story {
        name: 'g',
        about: "a deploy every night: new hashes, new fields",
        pages: [1; NIGHTS],
        steps: [
            ("new", "created"),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
            ("seen", ""),
        ],
    },
    Story {
        name: 'h',
        about: "fixed by a person; returns when nobody remembers",
        pages: [1, 0, 0, 0, 0, 1, 1, 1, 1, 1],
        steps: [
            ("new", "created"),
            ("not-observed", ""),
            ("fixed", "say-verified"),
            ("fixed", ""),
            ("fixed", ""),
            ("regressed", "created"),
            ("regressed", ""),
            ("regressed", ""),
            ("regressed", ""),
            ("regressed", ""),
        ],
    },
];

/// What people do in the day before a night: night, finding, deed.
const DEEDS: [(usize, char, &str); 10] = [
    (2, 'c', "closes it: Won't Do"),
    (2, 'h', "closes it: Done"),
    (3, 'b', "closes it: Done"),
    (3, 'd', "moves it to WEB"),
    (4, 'e', "deletes it"),
    (6, 'b', "closes it: Done"),
    (6, 'c', "reopens it"),
    (8, 'b', "closes it: Done"),
    (8, 'c', "labels it"),
    (8, 'e', "wants a new one: phantom tickets retry --recreate"),
];

fn shop(ask: &Ask<'_>, night: usize) -> Reply {
    if ask.host != "shop.test" || ask.scheme != Scheme::Https {
        return Reply::status(StatusCode::NOT_FOUND);
    }
    if ask.path == "/" {
        let pages = STORIES
            .iter()
            .flat_map(|story| (1..=12).map(|page| format!("/{}/{page}", story.name)));
        let links: Vec<_> = pages.map(|path| format!("<a href={path}>{path}</a>")).collect();
        return Reply::html(format!("<!doctype html><title>shop</title>{}", links.concat()));
    }
    match (ask.path, night) {
        ("/a/1", 8) => return Reply::status(StatusCode::INTERNAL_SERVER_ERROR),
        ("/a/1", 9) => return Reply::status(StatusCode::FORBIDDEN),
        _ => {}
    }
    let parts: Vec<&str> = ask.path.split('/').collect();
    let story = parts
        .get(1)
        .and_then(|name| STORIES.iter().find(|one| one.name.to_string() == *name));
    let number = parts.get(2).and_then(|number| number.parse::<usize>().ok());
    let (Some(story), Some(number)) = (story, number) else {
        return Reply::status(StatusCode::NOT_FOUND);
    };
    let form = form(story.name, night, number <= story.pages[night - 1]);
    Reply::html(format!("<!doctype html><title>{}</title><p>page{form}", ask.path))
}

/// Posts a password over http if it is flawed: a site that loses its forms would not be believed to be fixed. That of
/// `g` is another one with every deploy.
fn form(name: char, night: usize, flawed: bool) -> String {
    let scheme = if flawed { "http" } else { "https" };
    let (folder, more) = match name {
        'g' => (
            format!("/{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(night as u64)),
            format!("<input name=deploy{night}>"),
        ),
        _ => (String::new(), String::new()),
    };
    format!(
        "<form method=post action=\"{scheme}://{name}.login.test{folder}/in\"><input type=password name=p>{more}</form>"
    )
}

#[tokio::main]
async fn main() -> ExitCode {
    let deployment = match std::env::args().nth(1).as_deref() {
        Some("datacenter") => Deployment::DataCenter,
        _ => Deployment::Cloud,
    };
    match Box::pin(show(deployment)).await {
        Ok(()) => {
            println!("every step is as the state table says");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Show {
    stage: Stage,
    sandbox: Sandbox,
    night: Arc<AtomicUsize>,
    began: Timestamp,
    wrong: Mutex<Vec<String>>,
}

async fn show(deployment: Deployment) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = StageClock::new();
    let time = Arc::clone(&clock);
    let options = SandboxOptions {
        deployment,
        projects: vec!["SEC".to_owned(), "WEB".to_owned()],
        now: Arc::new(move || time.time()),
        ..SandboxOptions::default()
    };
    let (user, token) = (options.user.clone(), folder.path().join("token"));
    std::fs::write(&token, &options.token)?;
    let sandbox = Sandbox::start(options).await?;
    let mut jira = support::jira(deployment, sandbox.base_url(), &user, &token)?;
    jira.lifecycle.resolve = Resolve::Transition;
    jira.lifecycle.reopen_grace = DAY;
    jira.lifecycle.reopen_window = DAY * 3;
    let night = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&night);
    let content = move |ask: &Ask<'_>| shop(ask, seen.load(Ordering::Relaxed));
    let began = clock.time();
    let show = Show {
        stage: Stage::new(content, SITE, jira, clock).await?,
        sandbox,
        night,
        began,
        wrong: Mutex::default(),
    };
    for story in &STORIES {
        println!("{}: {}", story.name, story.about);
    }
    for night in 1..=NIGHTS {
        Box::pin(show.pass(night)).await?;
    }
    show.histories().await?;
    let wrong = show.wrong.lock().unwrap().join("\n");
    expect(wrong.is_empty(), || wrong)
}

impl Show {
    /// What people do by day, then the night.
    async fn pass(&self, night: usize) -> Result<()> {
        let clock = &self.stage.clock;
        let noon = self.began + jiff::SignedDuration::try_from(DAY * u32::try_from(night - 1)?)?;
        if night > 1 {
            clock.skip_to(noon - jiff::SignedDuration::from_hours(12));
        }
        println!("\nnight {night}");
        for (_, name, deed) in DEEDS.iter().filter(|one| one.0 == night) {
            println!("  by day, a person {deed} ({name})");
            self.deed(*name, deed).await?;
        }
        clock.skip_to(noon);
        self.night.store(night, Ordering::Relaxed);
        let ended = self.stage.scan().await?;
        let (report, events) = self.stage.file().await?;
        expect(report.dead.is_empty() && report.paused.is_none(), || {
            format!("{report:?}")
        })?;
        println!(
            "  scan {}: {} pages, {} failed",
            word(ended.record.state),
            ended.counts.done,
            ended.counts.failed
        );
        let did = did(&events);
        for story in &STORIES {
            self.step(story, night, &did).await?;
        }
        Ok(())
    }

    async fn step(&self, story: &Story, night: usize, did: &BTreeMap<Fingerprint, String>) -> Result<()> {
        let finding = self.finding(story.name).await?;
        let state = finding.as_ref().map_or("none".to_owned(), |one| one.state.to_string());
        let done = finding
            .as_ref()
            .and_then(|one| did.get(&one.fingerprint))
            .cloned()
            .unwrap_or_default();
        let key = self.key(story.name).await?.unwrap_or_default();
        let expected = story.steps[night - 1];
        let right = (state.as_str(), done.as_str()) == expected;
        let mark = if right { "" } else { "   << WRONG" };
        println!("  {}  {state:<13} {key:<6} {done}{mark}", story.name);
        if !right {
            let wrong = format!("night {night}, {}: {state} {done:?}, expected {expected:?}", story.name);
            self.wrong.lock().unwrap().push(wrong);
        }
        Ok(())
    }

    async fn deed(&self, name: char, deed: &str) -> Result<()> {
        let key = self.key(name).await?.ok_or("no ticket")?;
        let person = self.sandbox.person();
        let done = match deed {
            "closes it: Won't Do" => person.close(&key, Some("Won't Do")),
            "closes it: Done" => person.close(&key, Some("Done")),
            "reopens it" => person.reopen(&key),
            "labels it" => person.label(&key, "phantom-ignore"),
            "moves it to WEB" => person.relocate(&key, "WEB").is_some(),
            "deletes it" => person.delete(&key),
            _ => {
                let now = self.stage.clock.time();
                !tickets::retry(&*self.stage.store, Some(&key), true, now)
                    .await?
                    .is_empty()
            }
        };
        expect(done, || format!("{deed}: {key} could not be changed"))
    }

    async fn finding(&self, name: char) -> Result<Option<Finding>> {
        let all = self.stage.store.all_findings(None).await?;
        let host = format!("{name}.login.test");
        let mut own = all
            .into_iter()
            .filter(|one| one.cause.parts.values().any(|part| part.contains(&host)));
        let first = own.next();
        expect(own.next().is_none(), || format!("{name} has become two findings"))?;
        Ok(first)
    }

    async fn key(&self, name: char) -> Result<Option<String>> {
        let Some(finding) = self.finding(name).await? else {
            return Ok(None);
        };
        let link = self.stage.store.ticket(&finding.fingerprint).await?;
        Ok(link.map(|link| link.issue_key))
    }

    /// All that happened to each ticket, in order.
    async fn histories(&self) -> Result<()> {
        println!("\nthe tickets");
        for story in &STORIES {
            let finding = self.finding(story.name).await?.ok_or("no finding")?;
            for link in self.stage.store.tickets_of(&finding.fingerprint).await? {
                let Some(issue) = self.sandbox.issue(&link.issue_id) else {
                    println!("{}  {}: deleted", story.name, link.issue_key);
                    continue;
                };
                println!("{}  {}: {}", story.name, issue.key, issue.summary);
                self.history(&issue)?;
                // Every night takes another picture of the flaw; the ticket has the first, once.
                let pictures = issue
                    .attachments
                    .iter()
                    .filter(|one| one.name.starts_with(PICTURE_PREFIX));
                let pictures: Vec<_> = pictures.map(|one| one.name.as_str()).collect();
                println!("     files: {}", pictures.join(", "));
                expect(pictures.len() == 1, || {
                    format!("{} has {} pictures", issue.key, pictures.len())
                })?;
            }
        }
        let (count, links) = (self.sandbox.issues().len(), self.sandbox.links().len());
        println!("{count} tickets, {links} link");
        // Eight findings; one ticket was deleted and replaced, one followed by a second generation.
        expect((count, links) == (9, 1), || format!("{count} tickets, {links} links"))
    }

    fn history(&self, issue: &SandboxIssue) -> Result<()> {
        let mut lines = vec![(issue.created, "created".to_owned())];
        let mut said: Vec<String> = Vec::new();
        for comment in &issue.comments {
            let text = first_line(&comment.body);
            said.push(text.clone());
            lines.push((comment.created, format!("{}: {text}", comment.author)));
        }
        for change in &issue.history {
            for item in &change.items {
                let (from, to) = (
                    item.from.1.as_deref().unwrap_or("–"),
                    item.to.1.as_deref().unwrap_or("–"),
                );
                let what = match item.field.as_str() {
                    "description" => "our block is brought up to date".to_owned(),
                    field => format!("{field} {from} → {to}"),
                };
                lines.push((change.created, format!("{}: {what}", change.author)));
            }
        }
        lines.sort_by_key(|line| line.0);
        for (when, what) in lines {
            let day = Duration::try_from(when.duration_since(self.began))?.as_secs_f64() / DAY.as_secs_f64() + 1.0;
            println!("     night {day:>4.1}  {what}");
        }
        Ok(())
    }
}

/// What was done for each finding, without the occasions.
fn did(events: &[Event]) -> BTreeMap<Fingerprint, String> {
    let mut all = BTreeMap::new();
    for event in events {
        let (fingerprint, what) = match event {
            Event::Created { fingerprint, .. } => (fingerprint, "created".to_owned()),
            Event::Adopted { fingerprint, .. } => (fingerprint, "found".to_owned()),
            Event::Gone { fingerprint, .. } => (fingerprint, "gone".to_owned()),
            Event::Orphan { fingerprint, .. } => (fingerprint, "gone for good".to_owned()),
            Event::Changed { fingerprint, did, .. } => {
                let words = did.iter().map(|one| one.split('/').next().unwrap_or_default());
                (fingerprint, words.collect::<Vec<_>>().join(", "))
            }
            _ => continue,
        };
        all.insert(fingerprint.clone(), what);
    }
    all
}

fn word(state: phantom_gang::scan::ScanState) -> String {
    format!("{state:?}").to_lowercase()
}

/// The first text of a document, or the first line of wiki markup.
fn first_line(body: &serde_json::Value) -> String {
    if let Some(text) = body.as_str() {
        return text.lines().next().unwrap_or_default().to_owned();
    }
    let blocks = body["content"].as_array().into_iter().flatten();
    let first = blocks.flat_map(|block| block["content"].as_array().into_iter().flatten());
    let text: Vec<&str> = first.filter_map(|part| part["text"].as_str()).take(1).collect();
    text.concat()
}
