//! `phantom work`, `phantom nightly` and `phantom serve`

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use console::Term;
use jiff::Timestamp;

use super::exit::{Ended, Exit, OrExit};
use super::session::{self, Setup};
use super::{Voice, interrupt, tickets};
use crate::browser::default_tabs;
use crate::config::TicketMode;
use crate::fleet::{Gang, GangEvent, Plan};
use crate::report::plural;
use crate::report::safe::one_line;
use crate::scan::{ScanError, ScanState};
use crate::site::DEFAULT_POOL;

/// The arguments of commands that scan by themselves.
#[derive(Debug, Args)]
pub struct GangArgs {
    /// Work for the sites that `run_on` this pool; without it, for those that name none.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POOL)]
    pool: String,
    /// Use this many tabs at once, for all scans together; without it, by cores and memory.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    tabs: Option<u16>,
    /// File tickets or not; without it, what the settings say.
    #[arg(long, value_name = "MODE")]
    tickets: Option<TicketMode>,
    #[command(flatten)]
    setup: Setup,
}

/// How many scans ended how.
#[derive(Default)]
struct Tally {
    complete: AtomicU64,
    incomplete: AtomicU64,
    worst: Mutex<Option<Exit>>,
}

impl Tally {
    fn worst(&self, exit: Exit) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Some(exit));
    }
}

/// Runs as planned.
pub async fn run(args: GangArgs, plan: Plan, voice: Voice) -> Ended {
    let config = Arc::new(args.setup.config()?);
    let mode = tickets::mode(args.tickets, config.jira.as_ref())?;
    let sites = if plan.schedule {
        session::sites()?.sites().cloned().collect()
    } else {
        Vec::new()
    };
    let store = args.setup.store(&config).await?;
    let tabs = args
        .tabs
        .map_or_else(|| config.browser.tabs.unwrap_or_else(default_tabs), usize::from);
    let jira = config.jira.clone().filter(|_| mode == TicketMode::Live);
    let tally = Arc::new(Tally::default());
    let told = Arc::clone(&tally);
    let quiet = voice.quiet;
    let stop = interrupt::token();
    let gang = Gang {
        store,
        config,
        sites,
        pool: args.pool,
        tabs,
        jira,
        listener: Arc::new(move |event| say(&event, &told, quiet)),
        stop: stop.clone(),
        now: Arc::new(Timestamp::now),
    };
    Box::pin(gang.run(plan)).await.or_incomplete()?;
    if plan.once && !quiet {
        let (complete, incomplete) = (&tally.complete, &tally.incomplete);
        let (complete, incomplete) = (complete.load(Ordering::Relaxed), incomplete.load(Ordering::Relaxed));
        line(&format!("{} complete, {incomplete} not", plural(complete, "scan")));
    }
    if stop.is_cancelled() && plan.once {
        return Ok(Exit::Interrupted);
    }
    let worst = *tally.worst.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(worst.filter(|_| plan.once).unwrap_or(Exit::Clean))
}

fn line(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = Term::stdout().write_line(&one_line(text));
}

fn say(event: &GangEvent, tally: &Tally, quiet: bool) {
    let text = match event {
        GangEvent::Began(site) => format!("{site}: begins"),
        GangEvent::Helps(scan, site) => format!("{site}: helps with scan {scan}"),
        GangEvent::Helped(helped) => format!("helped with {} of scan {}", plural(helped.pages, "page"), helped.scan),
        GangEvent::Ended(ended) => {
            let state = ended.record.state;
            if state == ScanState::Complete {
                tally.complete.fetch_add(1, Ordering::Relaxed);
            } else {
                tally.incomplete.fetch_add(1, Ordering::Relaxed);
                tally.worst(Exit::Incomplete);
            }
            let words = match state {
                ScanState::Complete => "complete",
                ScanState::Incomplete => "incomplete",
                ScanState::Interrupted => "waits",
                ScanState::Running => "runs",
            };
            let pages = plural(ended.counts.done, "page");
            format!("{}: {words}, {pages}, scan {}", ended.record.site.id, ended.record.id)
        }
        GangEvent::Failed(site, error) => {
            tally.incomplete.fetch_add(1, Ordering::Relaxed);
            tally.worst(match error {
                ScanError::Store(_) | ScanError::BrokeOff { .. } | ScanError::Lost(_) => Exit::Incomplete,
                _ => Exit::Usage,
            });
            format!("{site}: {error}")
        }
        GangEvent::Tickets(site, trouble) => format!("{site}: tickets: {trouble}"),
    };
    let trouble = matches!(event, GangEvent::Failed(..) | GangEvent::Tickets(..));
    if trouble || !quiet {
        line(&format!("{} {text}", Timestamp::now().strftime("%Y-%m-%d %H:%M:%S")));
    }
}
