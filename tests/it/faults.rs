//! Kills at random moments: no page is lost, nothing comes twice, nothing stays behind.
//!
//! A moment is a number of requests that site and queue have answered, so that it falls into the work however fast the
//! machine is. `PHANTOM_KILLS` sets the rounds of each test, `PHANTOM_SEED` repeats the moments of an earlier run;
//! `scripts/kill-tests` runs many and prints a table.

use std::fs;
use std::time::{Duration, Instant};

use phantom_gang::demo::{Ask, Reply};
use tokio::process::Child;

use crate::garden::{Garden, undisturbed};
use crate::processes::{Herd, kill};
use crate::support::{Bench, Ran, end_of};

/// How often the run is looked at.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    OurProcess,
    Renderer,
    Browser,
}

/// Numbers that look random and follow from a seed: the generator `SplitMix64` of Steele, Lea and Flood.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("PHANTOM_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or_else(rand::random))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn rounds() -> u32 {
    let wanted = std::env::var("PHANTOM_KILLS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    wanted.unwrap_or(5)
}

/// Plants the garden and kills, again and again. Rows of a table go to the standard error stream.
async fn kill_rounds(victim: Victim) {
    let calm = undisturbed().await;
    let mut dice = Dice::new();
    let seed = dice.0;
    let (mut round, mut missed, mut browsers) = (1, 0, 0);
    while round <= rounds() {
        let began = Instant::now();
        let garden = Garden::plant().await;
        let all = match victim {
            Victim::OurProcess => calm.requests,
            // A kill after the last page would hit nothing.
            Victim::Renderer | Victim::Browser => calm.visits * 9 / 10,
        };
        let moment = 1 + dice.below(all);
        let what = format!("{victim:?}, round {round}, request {moment} of {all}, PHANTOM_SEED={seed}");
        let told = match victim {
            Victim::OurProcess => Some(our_death(&garden, moment, &mut browsers).await),
            Victim::Renderer | Victim::Browser => their_death(&garden, moment, victim, &mut dice).await,
        };
        let harvest = garden.harvest().await;
        assert_eq!(harvest, calm.harvest, "{what}: {told:#?}");
        if told.is_none() {
            missed += 1;
            assert!(missed <= rounds(), "{what}: runs end before the kill");
            continue;
        }
        eprintln!(
            "kill | {victim:?} | {round} | {moment} of {all} | {} pages once, {} findings, {} tickets | {:.1} s",
            harvest.done.len(),
            harvest.findings.len(),
            harvest.tickets.len(),
            began.elapsed().as_secs_f64()
        );
        round += 1;
    }
    if let Victim::OurProcess = victim {
        assert!(browsers > 0, "there was a browser to be left");
    }
}

/// Waits until so many requests were made, or the run has ended by itself.
async fn wait_for(child: &mut Child, herd: &mut Herd, reached: impl Fn() -> bool) {
    while !reached() && child.try_wait().unwrap().is_none() {
        herd.look();
        tokio::time::sleep(TICK).await;
    }
}

/// Kills our own process at the moment, then resumes.
async fn our_death(garden: &Garden, moment: u64, browsers: &mut usize) -> Ran {
    let mut child = garden.bench.command(&["scan", "garden"]).spawn().unwrap();
    let pid = child.id().unwrap();
    let mut herd = Herd::of(pid);
    wait_for(&mut child, &mut herd, || garden.requests() >= moment).await;
    kill(pid);
    end_of(child).await;
    herd.must_be_gone().await;
    *browsers += herd.browsers_seen();

    let ran = garden.bench.run(&["scan", "--resume"]).await;
    if ran.code == Some(2) {
        assert!(
            ran.stderr.contains("waits to be resumed"),
            "the last thing was done already: {ran:#?}"
        );
        return ran;
    }
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    if ran.stderr.contains("goes on") {
        assert_eq!(profiles(&garden.bench), Vec::<String>::new(), "profiles left behind");
    }
    ran
}

/// Kills a renderer or a browser at the moment; the run goes on to its end. `None` if it had come to its end before.
async fn their_death(garden: &Garden, moment: u64, victim: Victim, dice: &mut Dice) -> Option<Ran> {
    let mut child = garden.bench.command(&["scan", "garden", "-v"]).spawn().unwrap();
    let mut herd = Herd::of(child.id().unwrap());
    wait_for(&mut child, &mut herd, || garden.visits() >= moment).await;
    let hit = loop {
        let below = herd.look();
        let targets: Vec<_> = below
            .iter()
            .filter(|one| match victim {
                Victim::Renderer => one.is_renderer(),
                _ => one.is_browser(),
            })
            .collect();
        if !targets.is_empty() {
            let chosen = targets[usize::try_from(dice.below(targets.len() as u64)).unwrap()];
            kill(chosen.pid);
            break true;
        }
        if child.try_wait().unwrap().is_some() {
            break false;
        }
        tokio::time::sleep(TICK).await;
    };
    while child.try_wait().unwrap().is_none() {
        herd.look();
        tokio::time::sleep(TICK * 4).await;
    }
    let ran = end_of(child).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    herd.must_be_gone().await;
    assert_eq!(profiles(&garden.bench), Vec::<String>::new(), "profiles left behind");
    hit.then_some(ran)
}

/// Profile folders that are left of a bench's browsers.
pub fn profiles(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.path("tmp")).unwrap();
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("phantom-gang-profile-"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_our_process() {
    kill_rounds(Victim::OurProcess).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_a_renderer() {
    kill_rounds(Victim::Renderer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_a_browser() {
    kill_rounds(Victim::Browser).await;
}

/// A site one page of which never answers; whoever asks for it is to be killed.
fn with_killer(ask: &Ask<'_>) -> Reply {
    match ask.path {
        "/" => {
            let links: Vec<_> = (1..8).map(|number| format!("<a href=/{number}>x</a> ")).collect();
            Reply::html(format!("<a href=/killer>x</a> {}", links.concat()))
        }
        "/killer" => Reply::html("x").after(Duration::from_secs(20)),
        _ => Reply::html("<p>calm").after(Duration::from_millis(100)),
    }
}

/// Scans a site and kills the browser each time the page is asked for.
async fn kill_whenever_asked(bench: &Bench, path: &str) -> Ran {
    let arguments = ["scan", "https://killer.test/", "--report", "json=report.json"];
    let mut child = bench.command(&arguments).spawn().unwrap();
    let mut herd = Herd::of(child.id().unwrap());
    let mut killed = 0;
    while child.try_wait().unwrap().is_none() {
        let below = herd.look();
        let asked = bench
            .microsite
            .log
            .entries()
            .iter()
            .filter(|one| one.path == path)
            .count();
        if asked > killed {
            killed = asked;
            below
                .iter()
                .filter(|one| one.is_browser())
                .for_each(|one| kill(one.pid));
        }
        tokio::time::sleep(TICK).await;
    }
    let ran = end_of(child).await;
    herd.must_be_gone().await;
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_kills_its_browser_is_given_up_and_the_scan_goes_on() {
    let bench = Bench::of(with_killer, "processes = 1\n").await;
    let ran = kill_whenever_asked(&bench, "/killer").await;
    let report = bench.report();
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let pages = &report["scan"]["pages"];
    assert_eq!(
        (&pages["done"], &pages["failed"], &pages["known"]),
        (&8.into(), &1.into(), &9.into()),
        "{ran:#?}"
    );
    let reason = report["not_checked"].to_string();
    assert!(reason.contains("it could not be looked at in 3 tries"), "{reason}");
    let asked = bench
        .microsite
        .log
        .entries()
        .iter()
        .filter(|one| one.path == "/killer")
        .count();
    assert_eq!(asked, 4, "once beside others, three times alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_page_that_kills_its_browser_ends_the_scan_incomplete() {
    let site = |ask: &Ask<'_>| match ask.path {
        "/" => Reply::html("x").after(Duration::from_secs(20)),
        "/sitemap.xml" => Reply::ok(
            "application/xml",
            "<urlset><url><loc>https://killer.test/calm</loc></url></urlset>",
        ),
        "/calm" => Reply::html("calm"),
        _ => Reply::status(axum::http::StatusCode::NOT_FOUND),
    };
    let bench = Bench::of(site, "processes = 1\n").await;
    let ran = kill_whenever_asked(&bench, "/").await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let report = bench.report();
    let pages = &report["scan"]["pages"];
    assert_eq!((&pages["done"], &pages["failed"]), (&1.into(), &1.into()), "{ran:#?}");
    assert!(
        ran.stdout
            .contains("the start page https://killer.test/ was not reached"),
        "{ran:#?}"
    );
}
