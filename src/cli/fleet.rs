//! `phantom work`, `phantom nightly` and `phantom serve`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::Args;
use console::Term;
use jiff::Timestamp;
use phantom_checks::Severity;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::exit::{self, Ended, Exit, Failure, OrExit};
use super::night::Night;
use super::roll::Roll;
use super::session::{self, SITES, Setup};
use super::{Voice, health, interrupt, tickets};
use crate::browser::default_tabs;
use crate::config::TicketMode;
use crate::fleet::{Gang, GangError, GangEvent, Outlook, Plan, Status};
use crate::report::safe::one_line;
use crate::report::{self, Context, named, plural};
use crate::scan::{ScanError, ScanState};
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
    /// File tickets or not; without it, what the settings say. What is not filed waits for the next run that does.
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

/// What scans came to.
struct Tally {
    worst: Mutex<Option<Exit>>,
    /// Each of them, if they are judged.
    night: Option<Night>,
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
    let roll = if plan.schedule {
        Roll::read(PathBuf::from(SITES))?
    } else {
        Roll::empty()
    };
    let wrong = roll.wrong;
    let store = args.setup.store(&config).await?;
    let tabs = args
        .tabs
        .map_or_else(|| config.browser.tabs.unwrap_or_else(default_tabs), usize::from);
    let jira = config.jira.clone().filter(|_| mode == TicketMode::Live);
    let tally = Arc::new(Tally {
        worst: Mutex::default(),
        night: fail_on.map(|_| Night::new()),
    });
    let told = Arc::clone(&tally);
    let quiet = voice.quiet;
    let stop = interrupt::token();
    let status = Status::new(Arc::clone(&store), tabs, stop.clone());
    status.tell_wrong_files(wrong);
    let told_at = tell(&status, args.status).await?;
    let gang = Gang {
        status: Arc::clone(&status),
        store: Arc::clone(&store),
        config,
        sites: roll.sites(),
        pool: args.pool,
        tabs,
        jira,
        listener: Arc::new(move |event| say(&event, &told, quiet)),
        by: session::by_schedule(),
        stop: stop.clone(),
        now: Arc::new(Timestamp::now),
    };
    if !plan.once && !quiet {
        line(&begins(&gang, plan, told_at).await.or_incomplete()?);
    }
    let followed = (plan.schedule && !plan.once).then(|| AbortOnDropHandle::new(tokio::spawn(roll.follow(status))));
    Box::pin(gang.run(plan)).await.or_incomplete()?;
    drop(followed);
    if plan.once && wrong > 0 {
        let files = plural(wrong as u64, "file");
        exit::say(&format!(
            "{files} of sites cannot be used, so these sites were not scanned; see phantom sites check"
        ));
        tally.worst(Exit::Incomplete);
    }
    if stop.is_cancelled() && plan.once {
        return Ok(Exit::Interrupted);
    }
    if let (Some(fail_on), Some(night)) = (fail_on, &tally.night) {
        judge(&*store, &tally, fail_on).await?;
        for text in night.lines(fail_on, quiet) {
            painted(&text);
        }
        if !quiet {
            ends(&gang, night, &args.setup).await.or_incomplete()?;
        }
    }
    let worst = *tally.worst.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(worst.filter(|_| plan.once).unwrap_or(Exit::Clean))
}

/// What a process that stays says when it begins.
async fn begins(gang: &Gang, plan: Plan, told_at: Option<SocketAddr>) -> Result<String, GangError> {
    let status = told_at.map_or_else(
        || "no status address; --status ADDRESS gives one".to_owned(),
        |at| format!("status at http://{at}"),
    );
    if !plan.schedule {
        return Ok(format!("works for pool {}; {status}", gang.pool));
    }
    let outlook = gang.outlook().await?;
    let sites = plural(outlook.scheduled as u64, "site");
    let next = comes(&outlook, (gang.now)());
    Ok(format!(
        "serves {sites} with a schedule in pool {}; {next}; {status}",
        gang.pool
    ))
}

/// What a process that ends says of the sites that it has not scanned.
async fn ends(gang: &Gang, night: &Night, setup: &Setup) -> Result<(), GangError> {
    let outlook = gang.outlook().await?;
    for (site, scan) in &outlook.paused {
        let resume = setup.command(&["phantom", "resume", &scan.0]);
        line(&format!(
            "{site} waits, because its scan is paused; to let it go on: {resume}"
        ));
    }
    if night.is_empty() {
        line(&format!("nothing is due; {}", comes(&outlook, (gang.now)())));
    }
    Ok(())
}

/// What comes next, in words.
fn comes(outlook: &Outlook, now: Timestamp) -> String {
    match &outlook.next {
        Some((site, at)) if at.timestamp() <= now => format!("next: {site} now"),
        Some((site, at)) => {
            let zone = at.time_zone().iana_name().unwrap_or("UTC");
            format!("next: {site} at {} ({zone})", at.strftime("%Y-%m-%d %H:%M"))
        }
        None if outlook.scheduled == 0 => "no site of this pool has a `schedule` in its file".to_owned(),
        None => "what has a schedule waits for its hours, or for a scan that runs or is paused".to_owned(),
    }
}

/// Tells health and metrics, if somebody wants to know. Returns where.
async fn tell(status: &Arc<Status>, at: Option<SocketAddr>) -> Result<Option<SocketAddr>, Failure> {
    let at = match at {
        Some(at) => Some(at),
        None => health::of_environment().or_usage()?,
    };
    let Some(at) = at else { return Ok(None) };
    let listener = TcpListener::bind(at)
        .await
        .with_context(|| format!("health and metrics cannot be told at {at}; choose another address with --status"))
        .or_usage()?;
    tokio::spawn(Arc::clone(status).serve(listener));
    Ok(Some(at))
}

/// What each scan comes to, as its report would say; why the night is no good is said.
async fn judge(store: &dyn Store, tally: &Tally, fail_on: Severity) -> Result<(), Failure> {
    let Some(night) = &tally.night else { return Ok(()) };
    let mut hits = Vec::new();
    for scan in night.ended() {
        let context = Context {
            sites: None,
            fail_on,
            browse_url: None,
            now: Timestamp::now(),
        };
        let report = report::build(store, &scan, &context).await.or_incomplete()?;
        night.judge(&report);
        let (site, verdict) = (&report.scan.site, &report.verdict);
        tally.worst(Exit::of_verdict(verdict.exit_code));
        if verdict.exit_code > 1 {
            line(&format!("{site}: {}. {}", verdict.headline, verdict.sentence));
        }
        let bad = report.findings.iter().filter(|finding| verdict.counts(finding));
        hits.extend(bad.map(|finding| match &finding.ticket {
            Some(ticket) => ticket.key.clone(),
            None => format!("{site}: {}", finding.title),
        }));
    }
    if !hits.is_empty() {
        let findings = plural(hits.len() as u64, "finding");
        line(&format!("{findings} at or above {fail_on}: {}", named(&hits)));
    }
    Ok(())
}

fn line(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = Term::stdout().write_line(&one_line(text));
}

/// A line whose colours are ours, and whose texts were made safe.
fn painted(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = Term::stdout().write_line(text);
}

fn say(event: &GangEvent, tally: &Tally, quiet: bool) {
    if let Some(night) = &tally.night {
        night.hear(event);
    }
    let text = match event {
        GangEvent::Began(site) => format!("{site}: begins"),
        GangEvent::Helps(scan, site) => format!("{site}: helps with scan {scan}"),
        GangEvent::Helped(helped) => format!("helped with {} of scan {}", plural(helped.pages, "page"), helped.scan),
        GangEvent::Ended(ended) => {
            if ended.record.state != ScanState::Complete {
                tally.worst(Exit::Incomplete);
            }
            let pages = plural(ended.counts.done, "page");
            format!(
                "{}: {}, {pages}, scan {}",
                ended.record.site.id, ended.standing, ended.record.id
            )
        }
        GangEvent::Failed(site, error) => {
            tally.worst(match error {
                ScanError::Store(_) | ScanError::BrokeOff { .. } | ScanError::Lost(_) => Exit::Incomplete,
                _ => Exit::Usage,
            });
            format!("{site}: {error}")
        }
        GangEvent::Filed(..) => return,
        GangEvent::Tickets(site, trouble) => format!("{site}: tickets: {trouble}"),
    };
    let trouble = matches!(event, GangEvent::Failed(..) | GangEvent::Tickets(..));
    if trouble || !quiet {
        line(&format!("{} {text}", Timestamp::now().strftime("%Y-%m-%d %H:%M:%S")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::SiteId;

    #[test]
    fn what_comes_next_is_said() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let outlook = |scheduled, at: Option<&str>| Outlook {
            scheduled,
            next: at.map(|at| (SiteId("bank-test".to_owned()), at.parse().unwrap())),
            paused: Vec::new(),
        };
        for (outlook, expected) in [
            (
                outlook(1, Some("2026-11-27T02:00[Europe/Berlin]")),
                "next: bank-test at 2026-11-27 02:00 (Europe/Berlin)",
            ),
            (
                outlook(1, Some("2026-11-26T02:00[Europe/Berlin]")),
                "next: bank-test now",
            ),
            (outlook(0, None), "no site of this pool has a `schedule` in its file"),
            (
                outlook(2, None),
                "what has a schedule waits for its hours, or for a scan that runs or is paused",
            ),
        ] {
            assert_eq!(comes(&outlook, now), expected);
        }
    }
}
