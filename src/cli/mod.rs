//! The command line: what a person types becomes a call into the library, and what comes of it lines on a terminal.

mod advisories;
mod browser;
mod checks;
mod demo;
mod doctor;
mod exit;
mod findings;
mod fleet;
mod health;
mod interrupt;
mod jira_sandbox;
mod logs;
mod night;
mod output;
pub mod paint;
pub mod progress;
mod roll;
mod scan;
mod scans;
mod session;
mod sites;
pub mod summary;
mod tickets;
mod tickets_command;
mod verify;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;
use progress::Verbosity;

/// The arguments of `phantom`.
#[derive(Debug, Parser)]
#[command(
    name = "phantom",
    version,
    about = "Scans web sites with real browsers and files what it finds as tickets",
    long_about = "Scans web sites with real browsers and files what it finds as tickets.\n\nA gang of headless browsers \
                  sees each page as a visitor's browser does, checks look at what was seen, and what they find becomes \
                  reports and Jira tickets. It is a passive scanner: it attacks nothing.",
    after_help = "Exit codes:\n  0    nothing at or above the threshold\n  1    findings at or above it\n  2    wrong usage \
                  or configuration\n  3    the scan is incomplete\n  130  interrupted"
)]
struct Cli {
    #[command(flatten)]
    voice: Voice,
    #[command(subcommand)]
    command: Command,
}

/// How much is said.
#[derive(Debug, Clone, Copy, Args)]
struct Voice {
    /// Say nothing but errors and the verdict.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more: each page; twice: what happens inside.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl Voice {
    fn verbosity(self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            _ => Verbosity::Verbose,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scan sites and report what is found
    Scan(Box<scan::ScanArgs>),
    /// Show the whole job on a bundled microsite, with a bundled Jira stand-in
    Demo(demo::DemoArgs),
    #[command(about = "List findings, decide about them, and exchange them with DefectDojo")]
    Findings(findings::FindingsArgs),
    /// List tickets, check the connection to Jira, and go on with what waits
    Tickets(tickets_command::TicketsArgs),
    /// List the sites, check their files, print their JSON Schema, and add one
    Sites(sites::SitesArgs),
    /// Look at one finding again, in seconds: still there, gone, or could not reach
    Verify(verify::VerifyArgs),
    /// List checks, explain them, try their cases, and run them over what was stored
    Checks(checks::ChecksArgs),
    /// Say what is known about vulnerable libraries, and take in what is new
    Advisories(advisories::AdvisoriesArgs),
    /// List scans, whoever runs them, and watch one
    Scans(scans::ScansArgs),
    /// Stop a scan, or all, wherever they run
    Stop(scans::StopArgs),
    /// Let a scan wait, wherever it runs
    #[command(
        after_help = "Its process saves what it has and leaves it; a phantom scan ends then. It waits for phantom resume, and its site's schedule waits with it.\n\nExample:\n  phantom pause 20261125-020000-7f3a"
    )]
    Pause(scans::OneScan),
    /// Let a scan go on that was paused, stopped or interrupted
    #[command(
        after_help = "It is then waiting for a phantom serve or work; to go on with it here, at once: phantom scan --resume.\n\nExample:\n  phantom resume 20261125-020000-7f3a"
    )]
    Resume(scans::OneScan),
    /// Scan what the schedules of sites say is due, then end
    #[command(
        after_help = "Examples:\n  phantom nightly\n  phantom nightly --fail-on medium\n  phantom nightly --store postgres://gang@db/scans --pool vpn"
    )]
    Nightly(fleet::NightlyArgs),
    /// Scan what the schedules of sites say, whenever it is due, and take over what was left
    #[command(after_help = "Example:\n  phantom serve --tabs 8")]
    Serve(fleet::GangArgs),
    /// Help with the scans of a shared store; any number may, anywhere
    #[command(after_help = "Example:\n  phantom work --store postgres://gang@db/scans --pool vpn --tabs 8")]
    Work(fleet::GangArgs),
    /// Ask a process that serves or works how it is
    #[command(after_help = "Example:\n  phantom health 127.0.0.1:9464\n\nIt ends with 0 if it is well, with 3 if not.")]
    Health(health::HealthArgs),
    /// Show who started, stopped and suppressed what
    Audit(scans::AuditArgs),
    /// Say what works here, what does not, and what to do about it
    Doctor(session::Setup),
    /// Run a browser that other machines' scans can use, see browser.endpoints
    Browser(browser::BrowserArgs),
    /// Run a stand-in for Jira, to rehearse a configuration against
    JiraSandbox(Box<jira_sandbox::JiraSandboxArgs>),
}

fn plan(schedule: bool, work: bool, once: bool) -> crate::fleet::Plan {
    crate::fleet::Plan { schedule, work, once }
}

/// How many threads do our own work, beside those that only wait for files and the store. The browsers need some twenty
/// times as much: more threads would only wake each other, which on two cores costs about a tenth of our own share.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.div_ceil(4)
}

/// Runs the program and says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    logs::init(cli.voice.verbose, cli.voice.quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::fail(
                &anyhow::anyhow!("the program cannot start its threads: {error}"),
                Exit::Usage,
            );
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Scan(args) => scan::run(*args, cli.voice).await,
            Command::Demo(args) => Box::pin(demo::run(args, cli.voice)).await,
            Command::Findings(args) => findings::run(args).await,
            Command::Tickets(args) => tickets_command::run(args).await,
            Command::Sites(args) => sites::run(args).await,
            Command::Verify(args) => Box::pin(verify::run(args, cli.voice)).await,
            Command::Checks(args) => checks::run(args).await,
            Command::Advisories(args) => advisories::run(args).await,
            Command::Scans(args) => scans::scans(args).await,
            Command::Stop(args) => scans::stop(args).await,
            Command::Pause(args) => scans::pause(args).await,
            Command::Resume(args) => scans::resume(args).await,
            Command::Nightly(args) => fleet::nightly(args, plan(true, false, true), cli.voice).await,
            Command::Serve(args) => fleet::stay(args, plan(true, true, false), cli.voice).await,
            Command::Work(args) => fleet::stay(args, plan(false, true, false), cli.voice).await,
            Command::Health(args) => health::run(args).await,
            Command::Audit(args) => scans::audit(args).await,
            Command::Doctor(setup) => doctor::run(&setup).await,
            Command::Browser(args) => browser::run(args).await,
            Command::JiraSandbox(args) => jira_sandbox::run(*args).await,
        }
    });
    // Whatever still runs in the background has nothing left to save.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => exit::fail(&failure.error, failure.exit),
    }
}
