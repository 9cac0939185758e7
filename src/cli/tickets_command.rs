//! `phantom tickets`

use clap::{Args, Subcommand};
use console::{Style, Term};
use jiff::Timestamp;
use serde::Serialize;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::interrupt;
use super::output::{self, Shape};
use super::session::{self, Setup};
use super::tickets::file;
use crate::config::{Config, JiraConfig};
use crate::jira::Client;
use crate::report::plural;
use crate::report::safe::one_line;
use crate::scan::{Listener, ScanEvent};
use crate::tickets::{self, Verdict};

/// The arguments of `phantom tickets`.
#[derive(Debug, Args)]
pub struct TicketsArgs {
    #[command(subcommand)]
    command: TicketsCommand,
}

#[derive(Debug, Subcommand)]
enum TicketsCommand {
    /// List tickets, or with --waiting the findings whose tickets wait
    #[command(after_help = "Examples:\n  phantom tickets list\n  phantom tickets list --waiting --json")]
    List {
        /// List what waits, and why.
        #[arg(long)]
        waiting: bool,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Ask Jira for all that would fail later: account, permissions, fields, priorities, transitions
    #[command(
        after_help = "It changes nothing in Jira and ends with 2 if anything would fail.\n\nExample:\n  \
                            phantom tickets check"
    )]
    Check {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Look at all tickets again and bring them into line
    #[command(after_help = "Example:\n  phantom tickets sync")]
    Sync {
        #[command(flatten)]
        setup: Setup,
    },
    /// Send again what Jira refused, once its cause is mended
    #[command(after_help = "Examples:\n  phantom tickets retry\n  phantom tickets retry SEC-12 --recreate")]
    Retry {
        /// Only of this ticket's key or finding; its first six digits are enough.
        which: Option<String>,
        /// Replace a ticket that was deleted by a new one.
        #[arg(long, requires = "which")]
        recreate: bool,
        #[command(flatten)]
        setup: Setup,
    },
    /// List what Jira refused, and why
    #[command(after_help = "Examples:\n  phantom tickets dead\n  phantom tickets dead --json")]
    Dead {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Let the changes go that the circuit breaker holds in a project
    #[command(after_help = "Example:\n  phantom tickets release SEC")]
    Release {
        /// The project's key.
        project: String,
        #[command(flatten)]
        setup: Setup,
    },
}

/// Does what is asked.
pub async fn run(args: TicketsArgs) -> Ended {
    match args.command {
        TicketsCommand::List { waiting, shape, setup } => list(waiting, shape, &setup).await,
        TicketsCommand::Check { shape, setup } => check(shape, &setup).await,
        TicketsCommand::Sync { setup } => sync(&setup).await,
        TicketsCommand::Retry { which, recreate, setup } => retry(which.as_deref(), recreate, &setup).await,
        TicketsCommand::Dead { shape, setup } => dead(shape, &setup).await,
        TicketsCommand::Release { project, setup } => release(&project, &setup).await,
    }
}

fn jira(config: Config) -> Result<JiraConfig, Failure> {
    let missing = || anyhow::anyhow!("there is no [jira] section in phantom.toml; see examples/phantom.toml");
    config.jira.ok_or_else(missing).or_usage()
}

async fn list(waiting: bool, shape: Shape, setup: &Setup) -> Ended {
    let config = setup.config()?;
    let store = setup.store(&config).await?;
    if waiting {
        let rows = tickets::waiting(&*store, config.jira.as_ref()).await.or_incomplete()?;
        shape.show(&rows, || {
            let cells = |row: &tickets::WaitingRow| {
                [
                    row.fingerprint.short().to_owned(),
                    row.severity.clone(),
                    row.due.strftime("%Y-%m-%d %H:%M UTC").to_string(),
                    format!("{}  ({})", one_line(&row.title), row.why),
                ]
            };
            let cells: Vec<_> = rows.iter().map(cells).collect();
            let lines = output::table(["finding", "severity", "due", "title"], &cells);
            let waiting = rows.iter().filter(|row| row.files).count();
            let end = match rows.len() - waiting {
                0 => format!("{waiting} waiting"),
                not => format!("{waiting} waiting, {not} not to be filed"),
            };
            lines.into_iter().chain([end]).collect()
        })?;
    } else {
        let rows = tickets::tickets(&*store).await.or_incomplete()?;
        shape.show(&rows, || {
            let cells = |row: &tickets::TicketRow| {
                let ticket = match (row.orphan, row.closed) {
                    (true, _) => "gone",
                    (_, Some(_)) => "closed",
                    _ => "open",
                };
                [
                    one_line(&row.key).into_owned(),
                    ticket.to_owned(),
                    row.severity.clone(),
                    row.state.clone(),
                    one_line(&row.title).into_owned(),
                ]
            };
            let cells: Vec<_> = rows.iter().map(cells).collect();
            let lines = output::table(["ticket", "state", "severity", "finding", "title"], &cells);
            lines.into_iter().chain([plural(rows.len() as u64, "ticket")]).collect()
        })?;
    }
    Ok(Exit::Clean)
}

async fn check(shape: Shape, setup: &Setup) -> Ended {
    let jira = jira(setup.config()?)?;
    let client = Client::new(&jira).or_usage()?;
    let found = tickets::check(&client, &jira).await;
    let bad = found.iter().filter(|one| one.verdict == Verdict::Bad).count();
    shape.show(&found, || {
        let line = |one: &tickets::Checked| {
            let mark = match one.verdict {
                Verdict::Good => Style::new().green().apply_to("good   "),
                Verdict::Unknown => Style::new().yellow().apply_to("unknown"),
                Verdict::Doubtful => Style::new().yellow().apply_to("odd    "),
                Verdict::Bad => Style::new().red().apply_to("bad    "),
            };
            format!("{mark}  {}: {}", one_line(&one.what), one_line(&one.says))
        };
        let end = match bad {
            0 => "nothing would fail, as far as can be seen from here".to_owned(),
            _ => format!("{bad} would fail"),
        };
        found.iter().map(line).chain([end]).collect()
    })?;
    Ok(if bad == 0 { Exit::Clean } else { Exit::Usage })
}

/// Works the outbox and says what came of it.
async fn work(setup: &Setup) -> Ended {
    let config = setup.config()?;
    let store = setup.store(&config).await?;
    let jira = jira(config)?;
    let listener: Listener = std::sync::Arc::new(|event| {
        let line = match event {
            ScanEvent::TicketCreated { key, title } => format!("{key} created: {title}"),
            ScanEvent::TicketAdopted { key, title } => format!("{key} found: {title}"),
            ScanEvent::TicketProblem(what) => what,
            _ => return,
        };
        // Whoever closed the terminal does not want to know.
        let _ = Term::stderr().write_line(&one_line(&line));
    });
    let report = file(&store, &jira, None, &listener, &interrupt::token()).await?;
    let line = format!(
        "{} created, {} found again, {} changed, {} as they should be, {} gone, {} refused, {} held, {} waiting",
        report.created,
        report.adopted,
        report.changed,
        report.unchanged,
        report.gone,
        report.dead.len(),
        report.held,
        report.waiting
    );
    Term::stdout().write_line(&line).or_usage()?;
    let whole = report.dead.is_empty() && report.paused.is_none();
    Ok(if whole { Exit::Clean } else { Exit::Incomplete })
}

async fn sync(setup: &Setup) -> Ended {
    let store = setup.store(&setup.config()?).await?;
    tickets::sync(&*store, Timestamp::now()).await.or_incomplete()?;
    work(setup).await
}

async fn retry(which: Option<&str>, recreate: bool, setup: &Setup) -> Ended {
    let store = setup.store(&setup.config()?).await?;
    let chosen = tickets::retry(&*store, which, recreate, Timestamp::now())
        .await
        .or_incomplete()?;
    if chosen.is_empty() {
        let line = "nothing to send again; to see what Jira refused: phantom tickets dead";
        Term::stdout().write_line(line).or_usage()?;
        return Ok(Exit::Clean);
    }
    let what = if recreate {
        "ticket-recreated"
    } else {
        "tickets-retried"
    };
    session::audit(&*store, what, which.unwrap_or("all"), None).await?;
    work(setup).await
}

async fn dead(shape: Shape, setup: &Setup) -> Ended {
    #[derive(Serialize)]
    struct Row {
        action: String,
        at: Timestamp,
        error: String,
    }
    let store = setup.store(&setup.config()?).await?;
    let dead = store.dead_actions().await.or_incomplete()?;
    let rows: Vec<Row> = dead
        .into_iter()
        .map(|one| Row {
            action: one.key,
            at: one.at,
            error: one.error.unwrap_or_default(),
        })
        .collect();
    shape.show(&rows, || {
        let line = |row: &Row| format!("{}  {}\n  {}", row.at, one_line(&row.action), one_line(&row.error));
        let end = match rows.len() {
            0 => "Jira refused nothing".to_owned(),
            count => format!("{count} refused; when the cause is mended: phantom tickets retry"),
        };
        rows.iter().map(line).chain([end]).collect()
    })?;
    Ok(Exit::Clean)
}

async fn release(project: &str, setup: &Setup) -> Ended {
    let store = setup.store(&setup.config()?).await?;
    let released = tickets::release(&*store, project, Timestamp::now())
        .await
        .or_incomplete()?;
    if released.is_some() {
        session::audit(&*store, "tickets-released", project, None).await?;
    }
    let line = match released {
        Some(count) => format!(
            "{count} findings are released; the next run brings their tickets into line, or now: phantom tickets sync"
        ),
        None => format!("nothing is held in {project}"),
    };
    Term::stdout().write_line(&line).or_usage()?;
    Ok(if released.is_some() { Exit::Clean } else { Exit::Usage })
}
