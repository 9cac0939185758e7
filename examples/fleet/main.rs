//! Many processes on one PostgreSQL, and what may happen to them: `cargo run --example fleet -- [ROUNDS [SEED]]`
//!
//! Each round is a night of several sites, scanned by 1, 2, 4 or 8 processes of the real program (`phantom serve`), each
//! in a network namespace of its own. By a random schedule workers are killed with SIGKILL and begun again, the database
//! is shut down at once and started again, the network to it is cut, in some rounds for a minute; in every other round the
//! clock of one worker is five minutes off. Then it is asked: has each site one scan, has each page one record, are the
//! findings those of an undisturbed night, is there one ticket for each, and was no host asked more often than its site
//! allows?
//!
//! It needs root, PostgreSQL's programs, `apt-get install libfaketime`, and the program itself, built before:
//! `cargo build --bin phantom --example fleet`.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[path = "../support/database.rs"]
mod database;
mod night;
#[path = "../support/polite.rs"]
mod polite;
mod rooms;

use std::path::PathBuf;
use std::time::Duration;

use phantom_gang::demo::{Ask, Microsite};
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use database::Database;
use night::{Event, Night, PACE, PAGES, Plan, SITES};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Workers, round by round.
const GANGS: [usize; 4] = [8, 2, 4, 1];
/// In one of so many rounds the network to the database is cut for a minute, for all; in another one each worker is on a
/// machine of its own, so that only its silence tells that it is dead.
const RARE: u64 = 10;
/// Within so long everything happens that happens to a round.
const STORM: u64 = 14_000;

/// What happens to a round.
fn plan(number: u64, dice: &mut StdRng) -> Plan {
    let workers = GANGS[dice.random_range(0..GANGS.len())];
    let mut events: Vec<(Duration, Event)> = Vec::new();
    let at = |dice: &mut StdRng| Duration::from_millis(dice.random_range(1_000..STORM));
    for _ in 0..dice.random_range(1..=4) {
        events.push((at(dice), Event::Kill(dice.random_range(0..workers))));
    }
    if dice.random_range(0..3) == 0 {
        events.push((at(dice), Event::Restart));
    }
    for _ in 0..dice.random_range(0..=2) {
        let time = Duration::from_millis(dice.random_range(300..4_000));
        events.push((at(dice), Event::Cut(Some(dice.random_range(0..workers)), time)));
    }
    if number % RARE == 2 {
        events.push((Duration::from_secs(6), Event::Cut(None, Duration::from_mins(1))));
    }
    events.sort_by_key(|(at, _)| *at);
    let wrong = dice
        .random::<bool>()
        .then(|| (dice.random_range(0..workers), if dice.random() { 300 } else { -300 }));
    Plan {
        workers,
        events,
        wrong,
        machines: number % RARE == 7,
    }
}

async fn show(rounds: u64, seed: u64) -> Result<()> {
    let night = Night {
        database: Database::start()?,
        microsite: Microsite::serve(|ask: &Ask<'_>| night::answer(ask)).await?,
        queue: Sandbox::start(SandboxOptions::default()).await?,
    };
    let calm = night.pass("calm", &Plan::calm()).await?;
    let pages: usize = calm.harvest.pages.values().map(Vec::len).sum();
    if pages != (SITES * PAGES) as usize {
        return Err(format!("{pages} pages in an undisturbed night").into());
    }
    if calm.tickets.is_empty() {
        return Err("an undisturbed night files no tickets".into());
    }
    println!("seed {seed}, {SITES} sites of {PAGES} pages, at most {PACE} requests a second and host");
    println!(
        "round  workers  seconds  kills  restarts  cuts  clock  requests  in 1 s  in 10 s  nearest ms  tickets  result"
    );
    let mut bad = Vec::new();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut plans = vec![("calm".to_owned(), Plan::calm(), calm.clone())];
    for number in 0..=rounds {
        let (name, plan, pass) = if let Some(calm) = plans.pop() {
            calm
        } else {
            let plan = plan(number, &mut dice);
            let pass = match night.pass(&format!("night_{number}"), &plan).await {
                Ok(pass) => pass,
                Err(error) => {
                    println!("{number:>5}  {plan:?}: {error}");
                    bad.push(number.to_string());
                    continue;
                }
            };
            (number.to_string(), plan, pass)
        };
        let trouble = pass.trouble(&calm);
        println!(
            "{name:>5}  {:>7}  {:>7.1}  {:>5}  {:>8}  {:>4}  {:>5}  {:>8}  {:>6}  {:>7}  {:>10}  {:>7}  {}",
            plan.workers,
            pass.took.as_secs_f64(),
            pass.kills,
            pass.restarts,
            pass.cuts,
            plan.wrong.map_or(0, |(_, seconds)| seconds),
            pass.visits,
            pass.hurry.second,
            pass.hurry.ten,
            pass.hurry.nearest,
            pass.tickets.len(),
            if trouble.is_empty() {
                "same".to_owned()
            } else {
                trouble.join("; ")
            },
        );
        if !trouble.is_empty() {
            bad.push(name);
        }
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(format!("{} nights were not as they should be: {}", bad.len(), bad.join(", ")).into())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [inside, folder, addresses @ ..] = &*arguments
        && inside == "inside"
    {
        return rooms::inside(&PathBuf::from(folder), addresses).await;
    }
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    // Before the first night, not in the second.
    night::faketime()?;
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        shown = show(number(0, 8)?, number(1, rand::random())?) => shown,
        _ = end.recv() => Err("ended before".into()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}
