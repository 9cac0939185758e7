//! `phantom scans`, `phantom stop`, `phantom pause`, `phantom resume` and `phantom audit`

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::output::{self, Shape};
use super::session::{self, Setup};
use crate::report::safe::one_line;
use crate::scan::{ScanId, ScanLine, ScanRecord, ScanState, Standing, Trigger, WhichScans, Wish};
use crate::store::Store;

/// How often a scan that is watched is looked at.
const GLANCE: Duration = Duration::from_secs(2);

/// What the words mean.
const STATES: &str = "States:
  running      a process has it
  waiting      no process has it; the next phantom serve or work that may takes it, a nightly scan in its hours
  pausing      phantom pause: its process saves what it has
  paused       it waits for phantom resume; the site's schedule waits with it
  stopping     phantom stop: its process saves what it has
  stopped      it was ended by phantom stop; the schedule begins anew, and phantom resume lets it go on
  interrupted  its phantom scan was told to end, as by Ctrl-C; phantom scan --resume goes on
  complete     every page was looked at, or cut off by a limit of the site's file
  incomplete   something that should have been looked at was not";

/// The arguments of `phantom scans`.
#[derive(Debug, Args)]
pub struct ScansArgs {
    #[command(subcommand)]
    command: ScansCommand,
}

#[derive(Debug, Subcommand)]
enum ScansCommand {
    /// List scans, newest first, whoever runs them
    #[command(
        after_help = format!("{STATES}\n\nExamples:\n  phantom scans list\n  phantom scans list --open --json")
    )]
    List {
        /// Only those that are not over: they run, wait, or are paused.
        #[arg(long, alias = "running")]
        open: bool,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Watch a scan from here, wherever it runs, until it is over
    #[command(
        after_help = format!("{STATES}\n\nIt ends with 0 if the scan is complete, 3 if incomplete, 130 if stopped or interrupted.\n\nExample:\n  phantom scans watch 20261125-020000-7f3a")
    )]
    Watch {
        /// The scan.
        scan: String,
        #[command(flatten)]
        setup: Setup,
    },
}

/// The arguments of `phantom stop`.
#[derive(Debug, Args)]
#[command(
    after_help = "What was found is kept. Nothing goes on with a stopped scan by itself, and its site's schedule begins \
                  anew; a person can let it go on: phantom resume. To let a scan only wait: phantom pause.\n\nExamples:\n  \
                  phantom stop 20261125-020000-7f3a\n  phantom stop --all"
)]
pub struct StopArgs {
    /// The scan.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    scan: Option<String>,
    /// All scans that are not over: those that run, wherever, that wait, and that are paused.
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
    state: Standing,
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
            state: line.standing(now),
            scan: line.id.0,
            site: line.site.0,
            trigger: line.trigger,
            started: line.started,
            ended: line.ended,
            owner: line.owner,
            pages_done: line.counts.done,
            pages_left: line.counts.waiting + line.counts.leased,
            pages_failed: line.counts.failed,
        }
    }
}

fn plain(text: &str) -> String {
    one_line(text).into_owned()
}

fn listed(rows: &[Row]) -> Vec<String> {
    let cells = |row: &Row| {
        [
            row.scan.clone(),
            row.state.to_string(),
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
            open,
            limit,
            shape,
            setup,
        } => {
            let store = setup.store(&setup.config()?).await?;
            let which = if open { WhichScans::Open } else { WhichScans::All };
            let lines = store.scan_lines(which, limit).await.or_incomplete()?;
            let now = Timestamp::now();
            let rows: Vec<Row> = lines.into_iter().map(|line| Row::new(line, now)).collect();
            if rows.is_empty() {
                output::nothing(if open {
                    "no scan runs, waits or is paused"
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
        let line = known(store, scan).await?;
        let standing = line.standing(Timestamp::now());
        let counts = line.counts;
        let text = plain(&format!(
            "{standing:<11}  {:>6} done  {:>6} left  {:>4} failed  {}",
            counts.done,
            counts.waiting + counts.leased,
            counts.failed,
            line.site
        ));
        if text != shown {
            output::print([text.clone()])?;
            shown = text;
        }
        match standing {
            Standing::Complete => return Ok(Exit::Clean),
            Standing::Incomplete => return Ok(Exit::Incomplete),
            over if over.is_over() => return Ok(Exit::Interrupted),
            _ => tokio::time::sleep(GLANCE).await,
        }
    }
}

async fn known(store: &dyn Store, scan: &ScanId) -> Result<ScanLine, Failure> {
    let line = store.scan_line(scan).await.or_incomplete()?;
    let missing = || anyhow::anyhow!("there is no scan {scan} in this store; to list them: phantom scans list");
    line.ok_or_else(missing).or_usage()
}

async fn record_of(store: &dyn Store, scan: &ScanId) -> Result<ScanRecord, Failure> {
    let record = store.scan(scan).await.or_incomplete()?;
    let gone = || anyhow::anyhow!("scan {scan} is gone from the store");
    record.ok_or_else(gone).or_incomplete()
}

/// Stops one scan or all.
pub async fn stop(args: StopArgs) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let Some(scan) = args.scan else {
        return stop_all(&*store, &args.setup).await;
    };
    let line = known(&*store, &ScanId(scan)).await?;
    output::print([ask(&*store, &line, Wish::Stop, &args.setup).await?])
}

/// Stops all. What goes wrong with one keeps no other from being stopped.
async fn stop_all(store: &dyn Store, setup: &Setup) -> Ended {
    let lines = store.scan_lines(WhichScans::Open, u32::MAX).await.or_incomplete()?;
    if lines.is_empty() {
        return output::print(["no scan runs, waits or is paused".to_owned()]);
    }
    let mut failures = Vec::new();
    for line in &lines {
        let told = ask(store, line, Wish::Stop, setup).await;
        if let Err(Failure { error, exit }) = told.and_then(|said| output::print([said])) {
            let error = error.context(format!("scan {}", line.id));
            failures.push(Failure { error, exit });
        }
    }
    let Some(exit) = failures.iter().map(|failure| failure.exit).max() else {
        return Ok(Exit::Clean);
    };
    if failures.len() == 1 {
        return Err(failures.remove(0));
    }
    let all: Vec<_> = failures.iter().map(|one| format!("{:#}", one.error)).collect();
    let error = anyhow::anyhow!("{}", all.join("\n"));
    Err(Failure { error, exit })
}

/// Lets a scan wait.
pub async fn pause(args: OneScan) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let line = known(&*store, &ScanId(args.scan)).await?;
    output::print([ask(&*store, &line, Wish::Pause, &args.setup).await?])
}

/// Asks whoever has a scan to leave it, and says what comes of that.
async fn ask(store: &dyn Store, line: &ScanLine, wish: Wish, setup: &Setup) -> Result<String, Failure> {
    let (scan, now) = (&line.id, Timestamp::now());
    let stands = line.standing(now);
    // One whose process died may be over in name only; it is closed then.
    let closes = wish == Wish::Stop && line.is_orphan(now);
    if stands.is_over() && !closes {
        return Err(anyhow::anyhow!("scan {scan} is {stands} already")).or_usage();
    }
    if !store.set_wish(scan, Some(wish)).await.or_incomplete()? {
        let ended = format!("scan {scan} has just come to its end");
        return match wish {
            Wish::Stop => Ok(ended),
            Wish::Pause => Err(anyhow::anyhow!(ended)).or_usage(),
        };
    }
    let what = match wish {
        Wish::Stop => "scan-stopped",
        Wish::Pause => "scan-paused",
    };
    session::audit(store, what, &scan.0, None).await?;
    // Whoever had taken it before has it now; nobody else takes it against the wish.
    let line = &known(store, scan).await?;
    let nobody = line.is_orphan(now) || line.state == ScanState::Interrupted;
    if line.is_orphan(now) {
        // Nobody is there to hear it.
        let record = record_of(store, scan).await?;
        store
            .set_scan_state(scan, ScanState::Interrupted, Some(now), &record.remarks)
            .await
            .or_incomplete()?;
    }
    Ok(asked(line, wish, nobody, setup))
}

/// What comes of a wish, in words.
fn asked(line: &ScanLine, wish: Wish, nobody: bool, setup: &Setup) -> String {
    let of = format!("scan {} of {}", line.id, plain(&line.site.0));
    let has = line.owner.as_deref().and_then(process).map_or_else(
        || "its process".to_owned(),
        |(pid, host)| format!("process {pid} on {}", plain(host)),
    );
    let resume = setup.command(&["phantom", "resume", &line.id.0]);
    let leaves = format!("{has} saves what it has and leaves it within seconds (a phantom scan ends then)");
    match (wish, nobody) {
        (Wish::Pause, true) => format!("{of} is paused; to let it go on: {resume}"),
        (Wish::Pause, false) => format!("{of} is pausing: {leaves}; to let it go on then: {resume}"),
        (Wish::Stop, true) => format!("{of} is stopped; what was found is kept"),
        (Wish::Stop, false) => format!("{of} is stopping: {leaves}; what was found is kept"),
    }
}

/// Process and host of who signs so.
fn process(owner: &str) -> Option<(&str, &str)> {
    let mut parts = owner.rsplitn(3, ':').skip(1);
    Some((parts.next()?, parts.next()?))
}

/// Lets a scan go on.
pub async fn resume(args: OneScan) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let now = Timestamp::now();
    let line = known(&*store, &ScanId(args.scan)).await?;
    let (scan, stands) = (&line.id, line.standing(now));
    let here = args.setup.command(&["phantom", "scan", "--resume", &scan.0]);
    let refused = match stands {
        _ if line.trigger.is_look() => {
            Some("looked at one finding again, which is not resumed; run phantom verify once more".to_owned())
        }
        Standing::Running => Some("is running; a process has it".to_owned()),
        Standing::Pausing | Standing::Stopping => {
            Some(format!("is still {stands}; once its process has left it, resume it"))
        }
        Standing::Complete => Some("is complete; there is nothing left to resume".to_owned()),
        Standing::Incomplete => Some(format!(
            "is incomplete, and no worker goes on with it; to try what is left of it here: {here}"
        )),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(anyhow::anyhow!("scan {scan} {why}")).or_usage();
    }
    let record = record_of(&*store, scan).await?;
    let schedule = record.site.schedule.as_ref();
    let shut = schedule.filter(|one| line.trigger == Trigger::Nightly && one.allows(now) == Ok(false));
    let went = if shut.is_some() && line.state == ScanState::Interrupted {
        // A worker that took it now would only leave it again.
        store.set_wish(scan, None).await
    } else {
        store.let_go_on(scan, line.owner.as_deref(), now).await
    };
    if !went.or_incomplete()? {
        return Err(anyhow::anyhow!("somebody else goes on with scan {scan}")).or_usage();
    }
    if stands != Standing::Waiting {
        session::audit(&*store, "scan-resumed", &scan.0, None).await?;
    }
    output::print(goes_on(&line, shut.is_some(), &here))
}

/// What becomes of a scan that may go on, in words.
fn goes_on(line: &ScanLine, shut: bool, here: &str) -> Vec<String> {
    let of = format!("scan {} of {} is waiting:", line.id, plain(&line.site.0));
    let pool = plain(&line.pool);
    if shut {
        return vec![format!(
            "{of} its schedule allows nothing now; phantom serve or nightly goes on with it in its hours"
        )];
    }
    let nightly = match line.trigger {
        Trigger::Nightly => ", or phantom nightly,",
        _ => "",
    };
    vec![
        format!("{of} a phantom serve or work of pool {pool}{nightly} takes it within seconds, if one runs"),
        format!("to go on with it here, at once: {here}"),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::ScanCounts;
    use crate::site::SiteId;

    fn line(trigger: Trigger) -> ScanLine {
        ScanLine {
            id: ScanId("20261125-020000-7f3a".to_owned()),
            site: SiteId("shop".to_owned()),
            trigger,
            state: ScanState::Running,
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            owner: Some("desk:42:7".to_owned()),
            owner_until: None,
            wish: None,
            pool: "default".to_owned(),
            counts: ScanCounts::default(),
        }
    }

    #[test]
    fn who_leaves_a_scan_and_how_it_goes_on_is_said() {
        let setup = Setup {
            store: Some("sqlite:my scans.db".to_owned()),
            config: None,
        };
        let scan = line(Trigger::Nightly);
        assert_eq!(
            asked(&scan, Wish::Pause, false, &setup),
            "scan 20261125-020000-7f3a of shop is pausing: process 42 on desk saves what it has and leaves it within \
             seconds (a phantom scan ends then); to let it go on then: phantom resume 20261125-020000-7f3a --store \
             'sqlite:my scans.db'"
        );
        assert_eq!(
            asked(&scan, Wish::Stop, true, &setup),
            "scan 20261125-020000-7f3a of shop is stopped; what was found is kept"
        );
        let said = goes_on(&scan, false, "phantom scan --resume 1").join("\n");
        assert!(said.contains("of pool default, or phantom nightly, takes it"), "{said}");
        assert!(said.ends_with("at once: phantom scan --resume 1"), "{said}");
        assert!(goes_on(&scan, true, "")[0].contains("in its hours"));
        let said = goes_on(&line(Trigger::OnDemand), false, "").join("\n");
        assert!(!said.contains("nightly"), "no schedule takes it: {said}");
    }
}
