//! `phantom verify`

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use console::Style;
use serde::Serialize;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::output::Shape;
use super::session::{self, Setup};
use super::{Voice, interrupt};
use crate::browser::default_tabs;
use crate::config::{JiraConfig, TicketMode};
use crate::report::safe::one_line;
use crate::scan::{Presence, ScanError, Scanner, Verified, VerifyError};
use crate::store::Store;
use crate::tickets::{Commented, Worker, meant};

/// The arguments of `phantom verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "It looks at the pages where the finding was seen last, three at most, after the start page, which \
                  begins the session; and at nothing else. It uses these pages as far as the scan did that saw it; \
                  where the site's file asks for `csrf_proof`, forms are sent again. It changes neither the finding \
                  nor the status of its ticket.\n\nExit codes:\n  0    gone\n  1    still there\n  2    wrong usage or configuration\n  3    \
                  could not reach, which says nothing\n  130  interrupted\n\nExamples:\n  phantom verify SEC-12\n  \
                  phantom verify 9f1c2a7be0d4 --json\n  phantom verify SEC-12 --comment"
)]
pub struct VerifyArgs {
    /// The key of its ticket, or its fingerprint; that one's first digits are enough.
    #[arg(value_name = "KEY | FINGERPRINT")]
    which: String,
    /// Say in its ticket what came of it, once; the settings may ask for that too.
    #[arg(long)]
    comment: bool,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    setup: Setup,
}

/// What is told.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    verified: &'a Verified,
    /// The key of its ticket.
    ticket: Option<String>,
    /// What became of the comment; null if none was asked for.
    comment: Option<Commented>,
    seconds: f64,
}

/// Looks at one finding again.
pub async fn run(args: VerifyArgs, voice: Voice) -> Ended {
    let began = Instant::now();
    let config = Arc::new(args.setup.config()?);
    let store = args.setup.store(&config).await?;
    // What would keep the comment from being made shows before anything is looked at.
    let worker = commenter(args.comment, config.jira.as_ref(), &store)?;
    let finding = meant(&*store, &args.which).await.or_usage()?;
    let scanner = Scanner {
        store: Arc::clone(&store),
        config: Arc::clone(&config),
        tabs: config.browser.tabs.unwrap_or_else(default_tabs),
        listener: Arc::new(|_| {}),
        by: session::who(),
        now: Arc::new(jiff::Timestamp::now),
        stop: interrupt::token(),
    };
    let verified = Box::pin(scanner.verify(&finding)).await.map_err(failed)?;
    let comment = match &worker {
        Some(worker) => Some(worker.say_verified(&finding, &verified).await.or_incomplete()?),
        None => None,
    };
    let link = store.ticket(&finding.fingerprint).await.or_incomplete()?;
    let told = Told {
        ticket: link.map(|link| link.issue_key),
        verified: &verified,
        comment,
        seconds: (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    };
    args.shape.show(&told, || lines(&told, voice.quiet))?;
    Ok(match verified.presence {
        Presence::Gone => Exit::Clean,
        Presence::StillThere => Exit::Findings,
        Presence::CouldNotReach => Exit::Incomplete,
    })
}

/// Who comments, if that is asked for and tickets are live.
fn commenter(asked: bool, jira: Option<&JiraConfig>, store: &Arc<dyn Store>) -> Result<Option<Worker>, Failure> {
    let live = jira.filter(|jira| jira.mode == TicketMode::Live);
    if asked && live.is_none() {
        return Err(anyhow::anyhow!(
            "--comment needs a [jira] section in phantom.toml whose `mode` is \"live\"; see examples/phantom.toml"
        ))
        .or_usage();
    }
    live.filter(|jira| asked || jira.lifecycle.verify_comment)
        .map(|jira| Worker::new(store.clone(), jira).or_usage())
        .transpose()
}

fn failed(error: VerifyError) -> Failure {
    let exit = match &error {
        VerifyError::Scan(ScanError::Stopped) => Exit::Interrupted,
        VerifyError::Store(_) | VerifyError::Scan(ScanError::Store(_) | ScanError::BrokeOff { .. }) => Exit::Incomplete,
        _ => Exit::Usage,
    };
    let error = match error {
        VerifyError::Scan(ScanError::Stopped) => anyhow::anyhow!("stopped before it was known whether it is there"),
        error => error.into(),
    };
    Failure { error, exit }
}

fn lines(told: &Told<'_>, quiet: bool) -> Vec<String> {
    let verified = told.verified;
    let paint = |presence: Presence, text: String| {
        let style = match presence {
            Presence::Gone => Style::new().green(),
            Presence::StillThere => Style::new().red(),
            Presence::CouldNotReach => Style::new().yellow(),
        };
        style.apply_to(text).to_string()
    };
    let because = |why: Option<&String>| why.map_or_else(String::new, |why| format!(": {}", one_line(why)));
    let mut lines: Vec<String> = Vec::new();
    if !quiet {
        lines.extend(verified.pages.iter().map(|page| {
            let word = paint(page.presence, format!("{:<15}", page.presence.words()));
            format!("{word}  {}{}", one_line(&page.url), because(page.why.as_ref()))
        }));
    }
    let ticket = told
        .ticket
        .as_ref()
        .map_or_else(String::new, |key| format!(", {}", one_line(key)));
    lines.push(format!(
        "{}: {} (finding {}{ticket}), in {:.1} s",
        paint(verified.presence, verified.presence.words().to_owned()),
        one_line(&verified.title),
        verified.fingerprint.short(),
        told.seconds
    ));
    lines.extend(verified.why.as_ref().map(|why| format!("why: {}", one_line(why))));
    lines.extend(
        told.comment
            .as_ref()
            .map(|comment| one_line(&commented(comment)).into_owned()),
    );
    lines
}

fn commented(comment: &Commented) -> String {
    match comment {
        Commented::Said { key } => format!("{key} says so now"),
        Commented::SaidBefore { key } => format!("{key} says so already"),
        Commented::Waits { key, why } => {
            format!("{key} does not say so yet: {why}; the next run says it, or now: phantom tickets sync")
        }
        Commented::Refused { key, why } => {
            format!("{key} does not say so: {why}; when that is mended: phantom tickets retry {key}")
        }
        Commented::Gone { key } => format!("{key} was deleted in Jira or is hidden from us; nothing was said there"),
        Commented::NoTicket => "it has no ticket that could say so".to_owned(),
    }
}
