//! `phantom scans`, `phantom stop`, `phantom pause`, `phantom resume` and `phantom audit`

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::output::{self, Shape};
use super::session::{self, Setup};
use crate::report::safe::one_line;
use crate::scan::{ScanId, ScanLine, ScanState, Trigger, Wish};
use crate::store::Store;

/// How often a scan that is watched is looked at.
const GLANCE: Duration = Duration::from_secs(2);

/// The arguments of `phantom scans`.
#[derive(Debug, Args)]
pub struct ScansArgs {
    #[command(subcommand)]
    command: ScansCommand,
}

#[derive(Debug, Subcommand)]
enum ScansCommand {
    /// List scans, newest first, whoever runs them
    #[command(after_help = "Examples:\n  phantom scans list\n  phantom scans list --running --json")]
    List {
        /// Only those that run.
        #[arg(long)]
        running: bool,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Watch a scan from here, wherever it runs, until it ends
    #[command(after_help = "Example:\n  phantom scans watch 20261125-020000-7f3a")]
    Watch {
        /// The scan.
        scan: String,
        #[command(flatten)]
        setup: Setup,
    },
}

/// The arguments of `phantom stop`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  phantom stop 20261125-020000-7f3a\n  phantom stop --all")]
pub struct StopArgs {
    /// The scan.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    scan: Option<String>,
    /// All scans, wherever they run.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    setup: Setup,
}

/// The arguments of `phantom pause` and `phantom resume`.
#[derive(Debug, Args)]
pub struct OneScan {
    /// The scan.
    scan: String,
    #[command(flatten)]
    setup: Setup,
}

/// The arguments of `phantom audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  phantom audit\n  phantom audit --limit 1000 --json")]
pub struct AuditArgs {
    /// So many entries at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    setup: Setup,
}

#[derive(serde::Serialize)]
struct Row {
    scan: String,
    site: String,
    trigger: Trigger,
    state: ScanState,
    wish: Option<Wish>,
    /// It runs, and no process has it: it waits for one.
    waits: bool,
    started: Timestamp,
    ended: Option<Timestamp>,
    /// The process that has it, as it signs.
    owner: Option<String>,
    pages_done: u64,
    pages_left: u64,
    pages_failed: u64,
}

impl Row {
    fn new(line: ScanLine, now: Timestamp) -> Self {
        Self {
            waits: line.is_orphan(now) && line.wish.is_none(),
            scan: line.id.0,
            site: line.site.0,
            trigger: line.trigger,
            state: line.state,
            wish: line.wish,
            started: line.started,
            ended: line.ended,
            owner: line.owner,
            pages_done: line.counts.done,
            pages_left: line.counts.waiting + line.counts.leased,
            pages_failed: line.counts.failed,
        }
    }
}

fn words(state: ScanState, wish: Option<Wish>) -> &'static str {
    match (state, wish) {
        (ScanState::Running, Some(Wish::Stop)) => "stopping",
        (ScanState::Running, Some(Wish::Pause)) => "pausing",
        (ScanState::Interrupted, Some(Wish::Pause)) => "paused",
        (state, _) => state.as_str(),
    }
}

fn plain(text: &str) -> String {
    one_line(text).into_owned()
}

fn listed(rows: &[Row]) -> Vec<String> {
    let cells = |row: &Row| {
        let state = if row.waits { "waits" } else { words(row.state, row.wish) };
        [
            row.scan.clone(),
            state.to_owned(),
            row.started.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            row.pages_done.to_string(),
            row.pages_left.to_string(),
            plain(&row.site),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output::table(["scan", "state", "began", "done", "left", "site"], &rows)
}

/// Lists scans, or watches one.
pub async fn scans(args: ScansArgs) -> Ended {
    match args.command {
        ScansCommand::List {
            running,
            limit,
            shape,
            setup,
        } => {
            let store = setup.store(&setup.config()?).await?;
            let lines = store.scan_lines(running, limit).await.or_incomplete()?;
            let now = Timestamp::now();
            let rows: Vec<Row> = lines.into_iter().map(|line| Row::new(line, now)).collect();
            if rows.is_empty() {
                output::nothing(if running {
                    "no scan runs"
                } else {
                    "there is no scan in this store yet"
                });
            }
            shape.show(&rows, || listed(&rows))
        }
        ScansCommand::Watch { scan, setup } => {
            let store = setup.store(&setup.config()?).await?;
            watch(&*store, &ScanId(scan)).await
        }
    }
}

async fn watch(store: &dyn Store, scan: &ScanId) -> Ended {
    let mut shown = String::new();
    loop {
        let record = known(store, scan).await?;
        let counts = store.counts(scan).await.or_incomplete()?;
        let text = plain(&format!(
            "{:<11}  {:>6} done  {:>6} left  {:>4} failed  {}",
            words(record.state, None),
            counts.done,
            counts.waiting + counts.leased,
            counts.failed,
            record.site.id
        ));
        if text != shown {
            output::print([text.clone()])?;
            shown = text;
        }
        match record.state {
            ScanState::Running => tokio::time::sleep(GLANCE).await,
            ScanState::Complete => return Ok(Exit::Clean),
            ScanState::Incomplete => return Ok(Exit::Incomplete),
            ScanState::Interrupted => return Ok(Exit::Interrupted),
        }
    }
}

async fn known(store: &dyn Store, scan: &ScanId) -> Result<crate::scan::ScanRecord, Failure> {
    let record = store.scan(scan).await.or_incomplete()?;
    let missing = || anyhow::anyhow!("there is no scan {scan} in this store; to list them: phantom scans list");
    record.ok_or_else(missing).or_usage()
}

/// Stops one scan or all.
pub async fn stop(args: StopArgs) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let Some(scan) = args.scan else {
        let mut said = Vec::new();
        for line in store.scan_lines(true, u32::MAX).await.or_incomplete()? {
            said.push(ask(&*store, &line.id, Wish::Stop).await?);
        }
        if said.is_empty() {
            said.push("no scan runs".to_owned());
        }
        return output::print(said);
    };
    output::print([ask(&*store, &ScanId(scan), Wish::Stop).await?])
}

/// Lets a scan wait.
pub async fn pause(args: OneScan) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    output::print([ask(&*store, &ScanId(args.scan), Wish::Pause).await?])
}

async fn ask(store: &dyn Store, scan: &ScanId, wish: Wish) -> Result<String, Failure> {
    let record = known(store, scan).await?;
    if !store.set_wish(scan, Some(wish)).await.or_incomplete()? {
        return Err(anyhow::anyhow!("scan {scan} does not run")).or_usage();
    }
    let what = match wish {
        Wish::Stop => "scan-stopped",
        Wish::Pause => "scan-paused",
    };
    session::audit(store, what, &scan.0, None).await?;
    let now = Timestamp::now();
    let gone = match store.scan_owner(scan).await.or_incomplete()? {
        Some(owner) => owner.is_gone(now),
        None => true,
    };
    if gone {
        // Nobody is there to hear it.
        store
            .set_scan_state(scan, ScanState::Interrupted, Some(now), &record.remarks)
            .await
            .or_incomplete()?;
    }
    Ok(match wish {
        Wish::Stop => format!(
            "scan {scan} of {} stops within seconds; what was found is kept",
            record.site.id
        ),
        Wish::Pause => format!(
            "scan {scan} of {} waits; to go on: phantom resume {scan}",
            record.site.id
        ),
    })
}

/// Lets a scan go on.
pub async fn resume(args: OneScan) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let scan = ScanId(args.scan);
    let record = known(&*store, &scan).await?;
    if record.state != ScanState::Interrupted || record.trigger.is_look() {
        return Err(anyhow::anyhow!(
            "scan {scan} does not wait; it is {}",
            words(record.state, None)
        ))
        .or_usage();
    }
    store.set_wish(&scan, None).await.or_incomplete()?;
    store
        .set_scan_state(&scan, ScanState::Running, None, &record.remarks)
        .await
        .or_incomplete()?;
    // Nobody's, and so for the first worker that looks.
    store
        .hand_over_scan(&scan, None, None, Timestamp::now())
        .await
        .or_incomplete()?;
    session::audit(&*store, "scan-resumed", &scan.0, None).await?;
    output::print([format!(
        "scan {scan} waits for a worker (phantom work, phantom serve); to go on with it here: phantom scan --resume {scan}"
    )])
}

/// Shows the audit log.
pub async fn audit(args: AuditArgs) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let entries = store.audit_log(args.limit).await.or_incomplete()?;
    if entries.is_empty() {
        output::nothing("nobody has done anything in this store yet");
    }
    args.shape.show(&entries, || {
        let cells = |entry: &crate::scan::AuditEntry| {
            let why = entry.why.as_ref().map_or_else(String::new, |why| format!("  ({why})"));
            [
                entry.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
                plain(&entry.what),
                plain(&entry.who),
                plain(&format!("{}{why}", entry.subject)),
            ]
        };
        let rows: Vec<_> = entries.iter().map(cells).collect();
        output::table(["when", "what", "who", "about"], &rows)
    })
}
