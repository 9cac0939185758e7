//! A finding's ticket through its life in a Jira that was not written here; `scripts/foreign-jira` starts one, runs
//! this against it and reads the ticket back. Real browsers scan a real site; nights pass by a clock that jumps.
//!
//! `cargo run --example foreign_jira URL`. Ends with 1 if something is not as it should be.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use phantom_gang::config::{Deployment, JiraConfig, Resolve};
use phantom_gang::demo::{Ask, Reply, Scheme};
use phantom_gang::tickets::{Event, Report};
use support::{DAY, Result, Stage, StageClock, expect};

const SITE: &str = "id = \"foreign\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n\
                    [limits]\npages_per_s = 1000\n[checks]\ndisable = [\"missing-csrf-token\"]\n";
/// More than a ticket lists, so that the rest is attached.
const PAGES: u32 = 55;

fn shop(ask: &Ask<'_>, flawed: bool) -> Reply {
    if ask.host != "shop.test" || ask.scheme != Scheme::Https {
        return Reply::status(StatusCode::NOT_FOUND);
    }
    // A site that loses its forms is not believed to be fixed.
    let scheme = if flawed { "http" } else { "https" };
    let form = format!("<form method=post action=\"{scheme}://login.test/in\"><input type=password name=p></form>");
    match ask.path {
        "/" => {
            let links: Vec<_> = (1..=PAGES)
                .map(|page| format!("<a href=/p/{page}>{page}</a>"))
                .collect();
            Reply::html(format!("<!doctype html><title>shop</title>{}", links.concat()))
        }
        path if path.starts_with("/p/") => Reply::html(format!("<!doctype html><title>{path}</title><p>page{form}")),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        println!("give the address of a Jira Data Center: cargo run --example foreign_jira http://127.0.0.1:8080");
        return ExitCode::FAILURE;
    };
    match Box::pin(show(&url)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn show(url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    std::fs::write(&token, "not asked for")?;
    let mut jira = support::jira(Deployment::DataCenter, url, "admin", &token)?;
    jira.lifecycle.resolve = Resolve::Transition;
    let flawed = Arc::new(AtomicBool::new(true));
    let clock = StageClock::new();
    let stage = stage(&flawed, &jira, &clock).await?;

    let created = night(&stage, "it is found").await?;
    expect(created.created == 1, || format!("{created:?}"))?;
    let again = night(&stage, "it is found again").await?;
    expect((again.created, again.unchanged) == (0, 1), || format!("{again:?}"))?;

    // Whoever lost the store finds the ticket by its label.
    let stage = self::stage(&flawed, &jira, &clock).await?;
    let adopted = night(&stage, "the store was lost").await?;
    expect((adopted.created, adopted.adopted) == (0, 1), || format!("{adopted:?}"))?;

    flawed.store(false, Ordering::Relaxed);
    let once = night(&stage, "not seen, once").await?;
    expect(once.changed == 0, || format!("{once:?}"))?;
    let fixed = night(&stage, "not seen, twice: fixed").await?;
    expect(fixed.changed == 1, || format!("{fixed:?}"))?;
    flawed.store(true, Ordering::Relaxed);
    let back = night(&stage, "it comes back").await?;
    expect(back.changed == 1, || format!("{back:?}"))?;
    let end = night(&stage, "it stays").await?;
    expect((end.created, end.changed, end.unchanged) == (0, 0, 1), || {
        format!("{end:?}")
    })
}

async fn stage(flawed: &Arc<AtomicBool>, jira: &JiraConfig, clock: &Arc<StageClock>) -> Result<Stage> {
    let flawed = Arc::clone(flawed);
    let content = move |ask: &Ask<'_>| shop(ask, flawed.load(Ordering::Relaxed));
    Stage::new(content, SITE, jira.clone(), Arc::clone(clock)).await
}

/// Scans, files, shows what was done, and lets a day pass.
async fn night(stage: &Stage, what: &str) -> Result<Report> {
    let ended = stage.scan().await?;
    let (report, events) = stage.file().await?;
    let did: Vec<String> = events.iter().map(told).collect();
    println!("{what:<24} {:>3} pages  {}", ended.counts.done, did.join("; "));
    expect(report.dead.is_empty() && report.paused.is_none(), || {
        format!("{report:?}")
    })?;
    stage.clock.skip(DAY);
    Ok(report)
}

fn told(event: &Event) -> String {
    match event {
        Event::Created { key, .. } => format!("{key} created"),
        Event::Adopted { key, .. } => format!("{key} found by its label"),
        Event::Unchanged { key, .. } => format!("{key} as it should be"),
        Event::Changed { key, did, .. } => format!("{key}: {}", did.join(", ")),
        other => format!("{other:?}"),
    }
}
