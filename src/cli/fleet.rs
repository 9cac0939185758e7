//! `phantom work`, `phantom nightly` and `phantom serve`

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::Args;
use console::Term;
use jiff::Timestamp;
use phantom_checks::Severity;
use tokio::net::TcpListener;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::session::{self, Setup};
use super::{Voice, health, interrupt, tickets};
use crate::browser::default_tabs;
use crate::config::TicketMode;
use crate::fleet::{Gang, GangEvent, Plan, Status};
use crate::report::safe::one_line;
use crate::report::{self, Context, plural};
use crate::scan::{ScanError, ScanId, ScanState};
use crate::site::DEFAULT_POOL;
use crate::store::Store;

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
    /// Tell health and metrics over HTTP here (/health, /ready, /metrics); a port alone is one of loopback. Without it:
    /// what `PHANTOM_STATUS` says, else nothing is told.
    #[arg(long, value_name = "ADDRESS", value_parser = health::address)]
    status: Option<SocketAddr>,
    #[command(flatten)]
    setup: Setup,
}

/// The arguments of `phantom nightly`.
#[derive(Debug, Args)]
pub struct NightlyArgs {
    #[command(flatten)]
    gang: GangArgs,
    /// Exit with 1 if a scan has a finding of this severity or worse.
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: Severity,
}

/// How many scans ended how.
#[derive(Default)]
struct Tally {
    complete: AtomicU64,
    incomplete: AtomicU64,
    worst: Mutex<Option<Exit>>,
    /// What came to its end, if that is judged.
    ended: Option<Mutex<Vec<ScanId>>>,
}

impl Tally {
    fn worst(&self, exit: Exit) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Some(exit));
    }
}

/// Scans what is due, and judges it.
pub async fn nightly(args: NightlyArgs, plan: Plan, voice: Voice) -> Ended {
    run(args.gang, plan, Some(args.fail_on), voice).await
}

/// Stays until it is stopped.
pub async fn stay(args: GangArgs, plan: Plan, voice: Voice) -> Ended {
    run(args, plan, None, voice).await
}

async fn run(args: GangArgs, plan: Plan, fail_on: Option<Severity>, voice: Voice) -> Ended {
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
    let tally = Arc::new(Tally {
        ended: fail_on.map(|_| Mutex::default()),
        ..Tally::default()
    });
    let told = Arc::clone(&tally);
    let quiet = voice.quiet;
    let stop = interrupt::token();
    let status = Status::new(Arc::clone(&store), tabs, stop.clone());
    tell(&status, args.status).await?;
    let gang = Gang {
        status,
        store: Arc::clone(&store),
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
    if let Some(fail_on) = fail_on {
        judge(&*store, &tally, fail_on).await?;
    }
    let worst = *tally.worst.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(worst.filter(|_| plan.once).unwrap_or(Exit::Clean))
}

/// Tells health and metrics, if somebody wants to know.
async fn tell(status: &Arc<Status>, at: Option<SocketAddr>) -> Result<(), Failure> {
    let at = match at {
        Some(at) => Some(at),
        None => health::of_environment().or_usage()?,
    };
    let Some(at) = at else { return Ok(()) };
    let listener = TcpListener::bind(at)
        .await
        .with_context(|| format!("health and metrics cannot be told at {at}; choose another address with --status"))
        .or_usage()?;
    tokio::spawn(Arc::clone(status).serve(listener));
    Ok(())
}

/// What each scan comes to, as its report would say.
async fn judge(store: &dyn Store, tally: &Tally, fail_on: Severity) -> Result<(), Failure> {
    let Some(ended) = &tally.ended else { return Ok(()) };
    let ended = std::mem::take(&mut *ended.lock().unwrap_or_else(PoisonError::into_inner));
    for scan in ended {
        let context = Context {
            sites: None,
            fail_on,
            browse_url: None,
            now: Timestamp::now(),
        };
        let report = report::build(store, &scan, &context).await.or_incomplete()?;
        tally.worst(Exit::of_verdict(report.verdict.exit_code));
    }
    Ok(())
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
            if let Some(all) = tally.ended.as_ref().filter(|_| state != ScanState::Interrupted) {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(ended.record.id.clone());
            }
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
