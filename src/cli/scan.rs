//! `phantom scan`

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum as _};
use console::Term;
use jiff::Timestamp;
use phantom_checks::Severity;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::progress::Progress;
use super::session::{self, Setup};
use super::summary::{self, Epilogue};
use super::{Voice, exit, interrupt, tickets};
use crate::browser::default_tabs;
use crate::config::{Config, TicketMode};
use crate::report::{self, Context, Destination, Report};
use crate::scan::{Listener, ScanError, ScanEvent, ScanId, ScanState, Scanner, Start, Trigger};
use crate::site::{ExploreMode, Site, SiteId};
use crate::store::Store;
use crate::tickets::Report as Filed;

/// Events that may wait to be shown; showing is no reason to hold up a scan.
const EVENTS: usize = 10_000;

/// The arguments of `phantom scan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom scan https://www.shop.example/\n  phantom scan shop-main --tickets dry-run\n  \
                        phantom scan sitemaps/shop-main.toml --report html=report.html --report json=report.json\n  \
                        phantom scan https://promo.shop.example/ --max-pages 50 --fail-on medium -q\n  \
                        phantom scan --resume"
)]
pub struct ScanArgs {
    /// What to scan: URLs, ids of sites, or files of sites; a URL that no file in sitemaps/ claims is a site by itself.
    #[arg(value_name = "URL | SITE | FILE", required_unless_present = "resume")]
    pub targets: Vec<String>,
    /// Look at this many pages at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pages: Option<u64>,
    /// Follow this many links from a start page at most; 0 looks at the start pages alone.
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
    /// Only observe pages, or use them as well, without changing anything; without it, what the site's file says.
    #[arg(long, value_name = "MODE", value_parser = ExploreParser)]
    pub explore: Option<Explore>,
    /// Use this many tabs at once; without it, by cores and memory.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub tabs: Option<u16>,
    /// Write a report, as json, html, sarif, junit or csv; may be given several times. With several targets, FILE holds {site}.
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    pub reports: Vec<Destination>,
    /// Write what happens as lines of JSON, for programs, instead of the progress and the summary.
    #[arg(long)]
    pub events: bool,
    /// Exit with 1 if there is a finding of this severity or worse.
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    pub fail_on: Severity,
    /// File tickets, only show what would be sent, or neither; without it, what the settings say. What is not filed
    /// waits for the next run that files tickets.
    #[arg(long, value_name = "MODE")]
    pub tickets: Option<TicketMode>,
    /// Go on with a scan that did not end: the one of this id, or the last one of the target, or of all.
    #[arg(long, value_name = "SCAN", num_args = 0..=1, default_missing_value = "")]
    pub resume: Option<String>,
    /// Show pages on one of the site's devices, a [[profile]] of its file. What is not seen there proves nothing.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Use an account again that was stopped because its login failed twice; correct its secrets first.
    #[arg(long, value_name = "ACCOUNT")]
    pub unlock_account: Option<String>,
    #[command(flatten)]
    pub setup: Setup,
}

/// Scans the targets, one after the other.
pub async fn run(args: ScanArgs, voice: Voice) -> Ended {
    args.fit().or_usage()?;
    let config = Arc::new(args.setup.config()?);
    let mode = tickets::mode(args.tickets, config.jira.as_ref())?;
    let sites = args.sites(&config)?;
    let store = args.setup.store(&config).await?;
    if let Some(account) = &args.unlock_account {
        if store.unlock_account(account).await.or_incomplete()? {
            session::audit(&*store, "account-unlocked", account, None).await?;
        } else {
            tracing::info!(account, "the account had not failed");
        }
    }
    let starts = args.starts(sites, &*store).await?;
    let many = starts.len() > 1;
    if many
        && args
            .reports
            .iter()
            .any(|wanted| !wanted.path.to_string_lossy().contains("{site}"))
    {
        let error = anyhow::anyhow!("several targets need several files; write --report html={{site}}.html");
        return Err(Failure {
            error,
            exit: Exit::Usage,
        });
    }
    for start in &starts {
        if let Some(site) = site_of(start, &*store).await? {
            check_reports(&args.reports, &site)?;
        }
    }
    let job = Job {
        args: &args,
        config,
        store,
        mode,
        voice,
        stop: interrupt::token(),
    };
    let mut worst = Exit::Clean;
    for start in starts {
        if job.stop.is_cancelled() {
            worst = worst.max(Exit::Interrupted);
            break;
        }
        worst = worst.max(match job.one(start).await {
            Ok(exit) => exit,
            // One site's trouble does not keep the others from being scanned.
            Err(failure) if many => {
                exit::say(&format!("{:#}", failure.error));
                failure.exit
            }
            Err(failure) => return Err(failure),
        });
    }
    Ok(worst)
}

/// What may be asked for on the command line: what changes a site's state is for its file to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Explore {
    /// Links are followed, and what a page does by itself is seen.
    Observe,
    /// Pages are clicked, typed into and searched as well; nothing that could change state is sent.
    Safe,
}

/// Reads a mode, and says where the one belongs that is not for the command line.
#[derive(Clone)]
struct ExploreParser;

impl TypedValueParser for ExploreParser {
    type Value = Explore;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Explore, clap::Error> {
        if value.eq_ignore_ascii_case("full") {
            let why = "--explore full is not for the command line: it sends what may change the site's state, which only \
                       the site's file can allow. Write there, under [explore]: mode = \"full\" and allow_state_change = true\n";
            return Err(clap::Error::raw(ErrorKind::InvalidValue, why).with_cmd(cmd));
        }
        EnumValueParser::<Explore>::new().parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            Explore::value_variants().iter().filter_map(Explore::to_possible_value),
        ))
    }
}

impl From<Explore> for ExploreMode {
    fn from(mode: Explore) -> Self {
        match mode {
            Explore::Observe => Self::Observe,
            Explore::Safe => Self::Safe,
        }
    }
}

impl ScanArgs {
    /// Refuses to change what was decided when a scan began.
    fn fit(&self) -> anyhow::Result<()> {
        let begins = [
            ("--max-pages", self.max_pages.is_some()),
            ("--depth", self.depth.is_some()),
            ("--explore", self.explore.is_some()),
            ("--profile", self.profile.is_some()),
        ];
        match begins.into_iter().find(|(_, given)| *given) {
            Some((name, _)) if self.resume.is_some() => Err(anyhow::anyhow!(
                "{name} is for a scan that begins, and --resume goes on with one as it was begun; leave out one of them"
            )),
            _ => Ok(()),
        }
    }

    /// The targets with the budgets of the command line.
    fn sites(&self, config: &Config) -> Result<Vec<Site>, Failure> {
        let book = session::sites()?;
        let mut sites = Vec::new();
        for target in &self.targets {
            let mut site = book.find(target).or_usage()?;
            site.may_start(&config.network).or_usage()?;
            site.limits.ask(self.max_pages, self.depth);
            if let Some(mode) = self.explore {
                site.ask_mode(mode.into());
            }
            if let Some(profile) = &self.profile {
                site.use_profile(profile)
                    .map_err(|known| no_profile(&site.id, profile, &known))
                    .or_usage()?;
            }
            sites.push(site);
        }
        Ok(sites)
    }

    /// What is to be done: new scans, or what old ones left.
    async fn starts(&self, sites: Vec<Site>, store: &dyn Store) -> Result<Vec<Start>, Failure> {
        let Some(resume) = &self.resume else {
            let new = |site| Start::New {
                site: Box::new(site),
                trigger: Trigger::OnDemand,
            };
            return Ok(sites.into_iter().map(new).collect());
        };
        if !resume.is_empty() {
            return Ok(vec![Start::Resume(ScanId(resume.clone()))]);
        }
        let wanted: Vec<_> = if sites.is_empty() {
            vec![None]
        } else {
            sites.iter().map(|site| Some(&site.id)).collect()
        };
        let mut starts = Vec::new();
        for site in wanted {
            let mut left = store.unfinished_scan(site).await.or_incomplete()?;
            if left.is_none() && store.intent_count(site).await.or_incomplete()? > 0 {
                // All pages were looked at, but the process ended before all tickets were filed.
                left = store.newest_scan(site).await.or_incomplete()?;
            }
            let Some(record) = left else {
                let whose = site.map_or(String::new(), |site| format!(" of {site}"));
                return Err(anyhow::anyhow!(
                    "no scan{whose} waits to be resumed: each is complete, or a complete one came after it. To go on with one all the same, name it (phantom scans list); to begin one, leave out --resume"
                ))
                .or_usage();
            };
            starts.push(Start::Resume(record.id));
        }
        Ok(starts)
    }
}

/// What came of one scan.
pub(super) struct Done {
    pub scan: ScanId,
    pub exit: Exit,
    pub report: Report,
    pub filed: Option<Filed>,
}

/// One run of the command.
pub(super) struct Job<'a> {
    pub args: &'a ScanArgs,
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub mode: TicketMode,
    pub voice: Voice,
    pub stop: CancellationToken,
}

impl Job<'_> {
    /// Scans one site, files its tickets, writes its reports and says how it went.
    async fn one(&self, start: Start) -> Ended {
        self.scan(start).await.map(|done| done.exit)
    }

    /// The same, with all that came of it.
    pub async fn scan(&self, start: Start) -> Result<Done, Failure> {
        let (sender, events) = mpsc::channel(EVENTS);
        let shown = if self.args.events {
            tokio::spawn(json_lines(events))
        } else {
            tokio::spawn(Progress::new(self.voice.verbosity()).run(events))
        };
        let listener: Listener = Arc::new(move |event| {
            let _ = sender.try_send(event);
        });
        let done = self.scan_and_file(start, &listener).await;
        drop(listener);
        // The progress takes its bars away before the summary is written.
        let _ = shown.await;
        let (scan, filed) = done?;
        if self.mode == TicketMode::DryRun
            && let Some(jira) = &self.config.jira
        {
            tickets::show(&*self.store, jira, &self.site_of(&scan).await?).await?;
        }
        let troubles = filed.as_ref().map_or_else(Vec::new, tickets::troubles);
        let (exit, report) = self.conclude(&scan, troubles).await?;
        Ok(Done {
            scan,
            exit,
            report,
            filed,
        })
    }

    async fn scan_and_file(&self, start: Start, listener: &Listener) -> Result<(ScanId, Option<Filed>), Failure> {
        let scanner = Scanner {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            tabs: self
                .args
                .tabs
                .map_or_else(|| self.config.browser.tabs.unwrap_or_else(default_tabs), usize::from),
            listener: Arc::clone(listener),
            by: session::who(),
            stop: self.stop.clone(),
            now: Arc::new(Timestamp::now),
        };
        if let Start::Resume(scan) = &start
            && let Some(line) = self.store.scan_line(scan).await.or_incomplete()?
            // Others are refused.
            && line.standing(Timestamp::now()).is_resumable()
        {
            session::audit(&*self.store, "scan-resumed", &scan.0, None).await?;
        }
        let jira = self.config.jira.as_ref().filter(|_| self.mode == TicketMode::Live);
        let scan = match Box::pin(scanner.scan(start)).await {
            Ok(ended) => ended.record.id,
            // What is left of it is its tickets.
            Err(ScanError::Complete(scan)) if jira.is_some() && self.tickets_wait(&scan).await? => scan,
            Err(error) => return Err(self.broken_off(error).await),
        };
        let mut filed = None;
        if !self.stop.is_cancelled()
            && let Some(jira) = jira
        {
            let site = self.site_of(&scan).await?;
            filed = Some(tickets::file(&self.store, jira, Some(&site), listener, &self.stop).await?);
        }
        Ok((scan, filed))
    }

    async fn tickets_wait(&self, scan: &ScanId) -> Result<bool, Failure> {
        let site = self.site_of(scan).await?;
        Ok(self.store.intent_count(Some(&site)).await.or_incomplete()? > 0)
    }

    async fn site_of(&self, scan: &ScanId) -> Result<SiteId, Failure> {
        let record = self.store.scan(scan).await.or_incomplete()?;
        let record = record.ok_or_else(|| anyhow::anyhow!("scan {scan} is gone from the store"));
        Ok(record.or_incomplete()?.site.id)
    }

    /// The failure of a scan. What one that had begun has found so far is shown first, as far as the store gives it.
    async fn broken_off(&self, error: ScanError) -> Failure {
        let exit = exit_of(&error);
        let ScanError::BrokeOff { scan, .. } = &error else {
            return Failure {
                exit,
                error: error.into(),
            };
        };
        if let Err(failure) = self.conclude(scan, Vec::new()).await {
            tracing::warn!(error = %failure.error, "what was found so far cannot be shown");
        }
        let error = anyhow::anyhow!("{error}. To go on: {}", self.resume_command(scan));
        Failure { error, exit }
    }

    async fn conclude(&self, scan: &ScanId, tickets: Vec<String>) -> Result<(Exit, Report), Failure> {
        // A broken file in the folder is no reason to show no report.
        let sites = session::sites().ok();
        let context = Context {
            sites: sites.as_ref(),
            fail_on: self.args.fail_on,
            browse_url: self.config.jira.as_ref().map(|jira| &jira.browse_url),
            now: Timestamp::now(),
        };
        let report = report::build(&*self.store, scan, &context).await.or_incomplete()?;
        let mut reports = Vec::new();
        for wanted in &self.args.reports {
            let path = for_site(&wanted.path, &report.scan.site.0);
            report::write(wanted.format, &report, &path).or_usage()?;
            reports.push(path);
        }
        let exit = Exit::of_verdict(report.verdict.exit_code);
        if self.args.events {
            let verdict = serde_json::json!({ "event": "verdict", "data": &report.verdict });
            let line = report::safe_json_line(&verdict).or_usage()?;
            Term::stdout().write_line(&line).or_usage()?;
            return Ok((exit, report));
        }
        let resumable = report.scan.pages.left > 0 || report.scan.state == ScanState::Interrupted;
        let resume = resumable.then(|| self.resume_command(scan));
        summary::print(
            &report,
            &Epilogue {
                reports,
                resume,
                tickets,
            },
            self.voice.quiet,
        )
        .or_usage()?;
        Ok((exit, report))
    }

    fn resume_command(&self, scan: &ScanId) -> String {
        let mut words = Vec::new();
        // What the first run was asked for is wanted of the next one, too.
        if let Some(mode) = self.args.tickets.and_then(|mode| mode.to_possible_value()) {
            words.extend(["--tickets".to_owned(), mode.get_name().to_owned()]);
        }
        if self.args.fail_on != Severity::High {
            words.extend(["--fail-on".to_owned(), self.args.fail_on.to_string()]);
        }
        let reports = self.args.reports.iter();
        words.extend(reports.flat_map(|report| ["--report".to_owned(), report.to_string()]));
        let all: Vec<&str> = ["phantom", "scan", "--resume", &scan.0]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        self.args.setup.command(&all)
    }
}

/// Events as they come, each a line.
async fn json_lines(mut events: mpsc::Receiver<ScanEvent>) {
    let term = Term::stdout();
    while let Some(event) = events.recv().await {
        if let Ok(line) = report::safe_json_line(&event)
            && term.write_line(&line).is_err()
        {
            // Nobody reads any more; the scan goes on.
            events.close();
        }
    }
}

fn no_profile(site: &SiteId, name: &str, known: &[String]) -> anyhow::Error {
    if known.is_empty() {
        anyhow::anyhow!("site {site} has no [[profile]] in its file; add `{name}` there, or leave out --profile")
    } else {
        anyhow::anyhow!("site {site} has no profile `{name}`; it has {}", known.join(", "))
    }
}

/// The id of the site that is to be scanned, if the store knows it.
async fn site_of(start: &Start, store: &dyn Store) -> Result<Option<String>, Failure> {
    Ok(match start {
        Start::New { site, .. } | Start::Nightly { site, .. } | Start::Verify { site, .. } => Some(site.id.0.clone()),
        Start::Resume(scan) => store.scan(scan).await.or_incomplete()?.map(|record| record.site.id.0),
    })
}

/// Makes sure that the reports of a site can be written before it is scanned.
pub(super) fn check_reports(wanted: &[Destination], site: &str) -> Result<(), Failure> {
    wanted
        .iter()
        .try_for_each(|wanted| report::check_place(&for_site(&wanted.path, site)))
        .or_usage()
}

fn for_site(path: &std::path::Path, site: &str) -> PathBuf {
    let name: String = site
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    PathBuf::from(path.to_string_lossy().replace("{site}", &name))
}

fn exit_of(error: &ScanError) -> Exit {
    match error {
        ScanError::Store(_) | ScanError::BrokeOff { .. } => Exit::Incomplete,
        ScanError::Stopped | ScanError::Meanwhile(_) => Exit::Interrupted,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ScanArgs,
    }

    #[test]
    fn what_a_scan_began_with_stays() {
        for (line, fits) in [
            (&["", "shop", "--max-pages", "3"][..], true),
            (&["", "shop", "--resume"], true),
            (&["", "--resume", "20261123-020000-7f3a", "--tabs", "2"], true),
            (&["", "shop", "--max-pages", "3", "--resume"], false),
            (&["", "shop", "--depth", "0", "--resume"], false),
        ] {
            assert_eq!(Line::try_parse_from(line).unwrap().args.fit().is_ok(), fits, "{line:?}");
        }
    }

    #[test]
    fn what_only_a_sites_file_may_ask_for_is_said() {
        let refused = Line::try_parse_from(["", "shop", "--explore", "full"])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("allow_state_change = true"), "{refused}");
        let unknown = Line::try_parse_from(["", "shop", "--explore", "some"])
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("[possible values: observe, safe]"), "{unknown}");
        let safe = Line::try_parse_from(["", "shop", "--explore", "safe"]).unwrap();
        assert_eq!(safe.args.explore, Some(Explore::Safe));
    }
}
