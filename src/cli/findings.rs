//! `phantom findings`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use console::Style;
use jiff::Timestamp;
use phantom_checks::Severity;

use super::exit::{Ended, Failure, OrExit};
use super::output::{Shape, print, print_json, table};
use super::paint;
use super::session::{self, Setup, sites};
use crate::config::{Config, parse_duration, parse_end_of_day};
use crate::report::safe::{fit, one_line};
use crate::report::{self, FindingSheet, plural};
use crate::scan::retire;
use crate::site::SiteId;
use crate::store::Store;
use crate::tickets::meant;
use crate::triage::{
    Decision, Finding, FindingFilter, FindingState, Fingerprint, Suppression, SuppressionScope, exchange,
};

/// The arguments of `phantom findings`.
#[derive(Debug, Args)]
pub struct FindingsArgs {
    #[command(subcommand)]
    command: FindingsCommand,
}

#[derive(Debug, Subcommand)]
enum FindingsCommand {
    /// List findings, worst first
    #[command(
        after_help = "Examples:\n  phantom findings list --site shop-main --severity high\n  \
                            phantom findings list --state new --state regressed --json"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Show all that is known of one finding
    #[command(after_help = "Example:\n  phantom findings show 9f1c2a7be0d4")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Decide that findings are not to be reported; list such decisions, or lift one
    #[command(
        after_help = "Examples:\n  phantom findings suppress 9f1c2a7be0d4 --as false-positive --reason 'not ours' --by ann\n  \
                      phantom findings suppress --check mixed-content --site shop-main --pages '/blog/2009/**' \\\n      \
                      --reason 'archive' --until 2027-03-31\n  \
                      phantom findings suppress --list\n  phantom findings suppress --lift c0ffee00c0ff"
    )]
    Suppress(Box<SuppressArgs>),
    /// Withdraw what is open on a site that is no longer scanned
    #[command(
        after_help = "Its tickets say so once, with the next `phantom tickets sync`. Nothing is called fixed, and what was \
                      suppressed or fixed stays so.\n\nExamples:\n  phantom findings withdraw --site shop-old --dry-run\n  \
                      phantom findings withdraw --site shop-old"
    )]
    Withdraw {
        /// The site, by its id.
        #[arg(long, value_name = "SITE")]
        site: String,
        /// Say what would be withdrawn, and withdraw nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        setup: Setup,
    },
    /// Show what became of a finding through time
    #[command(after_help = "Example:\n  phantom findings history 9f1c2a7be0d4")]
    History {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    #[command(
        about = "Write findings as JSON for DefectDojo's \"Generic Findings Import\"",
        after_help = "Examples:\n  phantom findings export > findings.json\n  \
                            phantom findings export --site shop-main --output findings.json"
    )]
    Export {
        #[command(flatten)]
        filter: Filter,
        /// The file; without it, the standard output stream.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        setup: Setup,
    },
    #[command(
        about = "Take over decisions that were made in DefectDojo: false positive, accepted, out of scope, duplicate",
        after_help = "What is taken becomes a suppression. Nothing else is: no finding is made, and none is called \
                      fixed.\n\nExamples:\n  phantom findings import findings.json --dry-run\n  \
                      phantom findings import findings.json --by ann"
    )]
    Import {
        #[arg(help = "The file: the generic format, or findings from DefectDojo's API")]
        file: PathBuf,
        /// Who decided, where the file does not say; without it, $USER.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Say what would be taken, and take nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        setup: Setup,
    },
}

/// Which findings.
#[derive(Debug, Args)]
struct Filter {
    /// Of these sites; `*` stands for any run of characters.
    #[arg(long = "site", value_name = "SITE")]
    sites: Vec<String>,
    /// In these states.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<FindingState>,
    /// This severity or worse.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Of these checks; `*` stands for any run of characters.
    #[arg(long = "check", value_name = "CHECK")]
    checks: Vec<String>,
}

impl From<Filter> for FindingFilter {
    fn from(filter: Filter) -> Self {
        Self {
            sites: filter.sites,
            checks: filter.checks,
            states: filter.states,
            severity: filter.severity,
        }
    }
}

/// Which finding.
#[derive(Debug, Args)]
struct Which {
    /// The finding's fingerprint, or its first digits.
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
}

/// As what it is shown.
#[derive(Debug, Args)]
struct SuppressArgs {
    /// The findings, by fingerprint or its first digits.
    #[arg(value_name = "FINGERPRINT", conflicts_with_all = ["check", "site", "pages", "host"])]
    fingerprints: Vec<String>,
    /// Cover the findings of this check.
    #[arg(long, value_name = "CHECK")]
    check: Option<String>,
    /// Cover the findings of this site.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Cover findings that are only on such pages, such as '/blog/2009/**'; may be given several times.
    #[arg(long, value_name = "PATTERN")]
    pages: Vec<String>,
    /// Cover findings whose pages, or whose cause, are on such a host; `*` stands for any run of characters.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// What is decided.
    #[arg(long = "as", value_name = "DECISION", default_value = "wont-fix")]
    decision: Decision,
    /// Why.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["list", "lift"])]
    reason: Option<String>,
    /// Who decides; without it, $USER.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// It ends with this day, in UTC: 2027-03-31; or after such a time: 90d. Without it, it never ends.
    #[arg(long, value_name = "DAY | TIME")]
    until: Option<String>,
    /// List the suppressions there are.
    #[arg(long, conflicts_with_all = ["fingerprints", "reason", "lift"])]
    list: bool,
    /// Lift the suppression of this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["fingerprints", "reason"])]
    lift: Option<String>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    setup: Setup,
}

/// Runs the command.
pub async fn run(args: FindingsArgs) -> Ended {
    match args.command {
        FindingsCommand::List { filter, shape, setup } => list(filter, shape, &setup).await,
        FindingsCommand::Show { which, shape, setup } => {
            let sheet = sheet(&which, &setup).await?;
            if shape.json {
                return print_json(&sheet);
            }
            print(show(&sheet, &Style::new()))
        }
        FindingsCommand::Suppress(args) => suppress(*args).await,
        FindingsCommand::Withdraw { site, dry_run, setup } => withdraw(SiteId(site), dry_run, &setup).await,
        FindingsCommand::History { which, shape, setup } => {
            let sheet = sheet(&which, &setup).await?;
            if shape.json {
                return print_json(&sheet.history);
            }
            print(history(&sheet))
        }
        FindingsCommand::Export { filter, output, setup } => export(filter, output, &setup).await,
        FindingsCommand::Import {
            file,
            by,
            dry_run,
            setup,
        } => import(&file, by, dry_run, &setup).await,
    }
}

async fn filtered(filter: Filter, store: &dyn Store) -> Result<Vec<Finding>, Failure> {
    let filter = FindingFilter::from(filter);
    let mut findings = store.all_findings(None).await.or_incomplete()?;
    findings.retain(|finding| filter.admits(finding));
    Ok(findings)
}

async fn list(filter: Filter, shape: Shape, setup: &Setup) -> Ended {
    let store = setup.store(&setup.config()?).await?;
    let findings = filtered(filter, &*store).await?;
    if shape.json {
        return print_json(&findings);
    }
    let style = Style::new();
    let cells = |finding: &Finding| {
        [
            finding.fingerprint.short().to_owned(),
            paint::severity(finding.severity, &style).to_string(),
            finding.state.to_string(),
            fit(&finding.site.0, 20),
            fit(&finding.title, 100),
        ]
    };
    let cells: Vec<_> = findings.iter().map(cells).collect();
    let mut lines = table(["fingerprint", "severity", "state", "site", "finding"], &cells);
    lines.push(plural(findings.len() as u64, "finding"));
    print(lines)
}

async fn sheet(which: &Which, setup: &Setup) -> Result<FindingSheet, Failure> {
    let config = setup.config()?;
    let store = setup.store(&config).await?;
    let finding = meant(&*store, &which.fingerprint).await.or_usage()?;
    report::sheet(&*store, finding, browse_url(&config))
        .await
        .or_incomplete()
}

fn browse_url(config: &Config) -> Option<&url::Url> {
    config.jira.as_ref().map(|jira| &jira.browse_url)
}

fn show(sheet: &FindingSheet, style: &Style) -> Vec<String> {
    let finding = &sheet.finding;
    let label = |text: &str| style.clone().dim().apply_to(format!("{text:<12}")).to_string();
    let row = |name: &str, text: String| format!("{}{}", label(name), one_line(&text));
    let mut lines = vec![
        style.clone().bold().apply_to(one_line(&finding.title)).to_string(),
        row("state", finding.state.to_string()),
        row("severity", format!("{}, {}", finding.severity, finding.confidence)),
        row("check", format!("{} version {}", finding.check, finding.check_version)),
        row("site", finding.site.to_string()),
        row("fingerprint", finding.fingerprint.to_string()),
        row("cause", finding.cause.to_string()),
        row(
            "seen",
            format!("{} to {}", when(finding.first_seen), when(finding.last_seen)),
        ),
    ];
    if finding.past.clean_scans > 0 {
        let clean = plural(u64::from(finding.past.clean_scans), "scan");
        lines.push(row("clean", format!("{clean} in a row did not see it")));
    }
    if let Some(ticket) = &sheet.ticket {
        lines.push(row("ticket", ticket.url.clone().unwrap_or_else(|| ticket.key.clone())));
    }
    if let Some(decision) = &sheet.decision {
        let until = decision
            .until
            .map_or_else(String::new, |until| format!(", until {}", when(until)));
        let text = format!(
            "{} by {}: {}{until} ({})",
            decision.words, decision.author, decision.reason, decision.id
        );
        lines.push(row("suppressed", text));
    }
    lines.extend(
        finding
            .facts
            .iter()
            .map(|fact| row("fact", format!("{}: {}", fact.label, fact.value))),
    );
    lines.push(row("pages", sheet.pages_total.to_string()));
    lines.extend(sheet.pages.iter().take(10).map(|page| row("", page.url.clone())));
    let witnesses = finding.past.witnesses.iter();
    lines.extend(witnesses.map(|witness| row("witness", witness.url.clone())));
    lines
}

fn history(sheet: &FindingSheet) -> Vec<String> {
    let told = sheet.history.iter().map(|event| {
        let from = event.from.map_or("", FindingState::as_str);
        let scan = event.scan.as_ref().map_or("by hand", |scan| scan.0.as_str());
        let why = one_line(&event.why);
        format!("{}  {scan:<20}  {from:<12}  {:<12}  {why}", when(event.at), event.to)
    });
    told.collect()
}

async fn suppress(args: SuppressArgs) -> Ended {
    let store = args.setup.store(&args.setup.config()?).await?;
    let now = Timestamp::now();
    if args.list {
        return list_suppressions(&*store, args.shape, now).await;
    }
    let by = person(args.by.as_deref())?;
    if let Some(id) = &args.lift {
        return if store.lift_suppression(id, &by, now).await.or_incomplete()? {
            session::audit(&*store, "suppression-lifted", id, Some(format!("by {by}"))).await?;
            print(vec![format!("lifted {id}")])
        } else {
            Err(anyhow::anyhow!(
                "there is no suppression {id}; `phantom findings suppress --list` shows those there are"
            ))
            .or_usage()
        };
    }
    let until = args.until.as_deref().map(|text| end(text, now)).transpose()?;
    let mut wanted = Vec::new();
    for digits in &args.fingerprints {
        let finding = meant(&*store, digits).await.or_usage()?;
        wanted.push((SuppressionScope::finding(finding.fingerprint.clone()), Some(finding)));
    }
    if wanted.is_empty() {
        wanted.push((args.scope(), None));
    }
    let mut lines = Vec::new();
    for (scope, finding) in wanted {
        let reason = args.reason.clone().unwrap_or_default();
        let decided = Suppression::new(scope, args.decision, reason, &by, now);
        let decided = Suppression { until, ..decided };
        let decided = match finding {
            Some(finding) => decided.about(&finding),
            None => decided,
        };
        decided.check(now).or_usage()?;
        let covered = store.suppress(&decided, now).await.or_incomplete()?;
        let why = format!(
            "{}, by {by}, {}: {}",
            decided.decision.words(),
            holds(&decided),
            decided.reason
        );
        session::audit(&*store, "suppressed", &decided.scope.to_string(), Some(why)).await?;
        let count = plural(covered, "open finding");
        let (id, scope, until) = (&decided.id, &decided.scope, holds(&decided));
        lines.push(format!("{id}: {scope}, {until} ({count} covered)"));
    }
    print(plain(&lines))
}

impl SuppressArgs {
    fn scope(&self) -> SuppressionScope {
        SuppressionScope {
            fingerprint: None::<Fingerprint>,
            check: self.check.clone(),
            site: self.site.clone().map(SiteId),
            pages: self.pages.clone(),
            host: self.host.as_ref().map(|host| host.to_ascii_lowercase()),
        }
    }
}

async fn withdraw(site: SiteId, dry_run: bool, setup: &Setup) -> Ended {
    if sites()?.sites().any(|one| one.id == site) {
        let error = anyhow::anyhow!("a file in sitemaps/ still describes {site}; delete it first, or scan it again");
        return Err(error).or_usage();
    }
    let store = setup.store(&setup.config()?).await?;
    let findings = store.all_findings(Some(&site)).await.or_incomplete()?;
    if findings.is_empty() {
        let error =
            anyhow::anyhow!("no finding of {site} is known; `phantom findings list` shows of which sites there are");
        return Err(error).or_usage();
    }
    let (gone, verb) = if dry_run {
        let open = findings.into_iter().filter(|finding| finding.state.is_open()).collect();
        (open, "would be withdrawn")
    } else {
        let gone = retire(&*store, &site, Timestamp::now()).await.or_incomplete()?;
        session::audit(&*store, "findings-withdrawn", &site.0, None).await?;
        (gone, "withdrawn")
    };
    let mut lines: Vec<String> = gone
        .iter()
        .map(|one: &Finding| format!("{}  {}", one.fingerprint.short(), fit(&one.title, 100)))
        .collect();
    lines.push(format!("{} {verb}", plural(gone.len() as u64, "finding")));
    print(plain(&lines))
}

/// How long a decision holds.
fn holds(decided: &Suppression) -> String {
    decided
        .until
        .map_or_else(|| "for ever".to_owned(), |until| format!("until {}", when(until)))
}

async fn list_suppressions(store: &dyn Store, shape: Shape, now: Timestamp) -> Ended {
    let all = store.suppressions().await.or_incomplete()?;
    if shape.json {
        return print_json(&all);
    }
    let mut lines: Vec<String> = all
        .iter()
        .map(|one| {
            let until = holds(one);
            let trouble = one
                .trouble(now)
                .map_or_else(String::new, |trouble| format!(" – {trouble}"));
            format!(
                "{}  {}, {until}: {} ({}, {}){trouble}",
                one.id,
                one.scope,
                one.reason,
                one.decision.words(),
                one.author
            )
        })
        .collect();
    lines.push(plural(all.len() as u64, "suppression"));
    print(plain(&lines))
}

fn end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let after = || {
        let time = jiff::SignedDuration::try_from(parse_duration(text)?).ok()?;
        now.checked_add(time).ok()
    };
    parse_end_of_day(text)
        .or_else(after)
        .ok_or_else(|| anyhow::anyhow!("--until {text} is neither a day such as 2027-03-31 nor a time such as 90d"))
        .or_usage()
}

fn person(by: Option<&str>) -> Result<String, Failure> {
    by.map(str::to_owned)
        .or_else(|| std::env::var("USER").ok())
        .filter(|name| !name.trim().is_empty())
        .ok_or_else(|| anyhow::anyhow!("nobody is named who decides; add --by NAME"))
        .or_usage()
}

async fn export(filter: Filter, output: Option<PathBuf>, setup: &Setup) -> Ended {
    let config = setup.config()?;
    let store = setup.store(&config).await?;
    let findings = filtered(filter, &*store).await?;
    let file = report::export(&*store, &findings, browse_url(&config))
        .await
        .or_incomplete()?;
    let Some(path) = output else {
        return print_json(&file);
    };
    std::fs::write(&path, report::safe_json(&file).or_usage()?)
        .map_err(|error| {
            anyhow::anyhow!(
                "cannot write {}: {error}; check that its folder is there",
                path.display()
            )
        })
        .or_usage()?;
    print(vec![format!(
        "{} written to {}",
        plural(findings.len() as u64, "finding"),
        path.display()
    )])
}

async fn import(file: &std::path::Path, by: Option<String>, dry_run: bool, setup: &Setup) -> Ended {
    let by = person(by.as_deref())?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| anyhow::anyhow!("cannot read {}: {error}; check the name", file.display()))
        .or_usage()?;
    let store = setup.store(&setup.config()?).await?;
    let now = Timestamp::now();
    let findings = store.all_findings(None).await.or_incomplete()?;
    let before = store.suppressions().await.or_incomplete()?;
    let import = exchange::import(&text, &findings, &before, &by, now)
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
        .or_usage()?;
    let mut lines = Vec::new();
    for decided in &import.taken {
        if !dry_run {
            store.suppress(decided, now).await.or_incomplete()?;
            let why = format!(
                "{}, by {}: {}",
                decided.decision.words(),
                decided.author,
                decided.reason
            );
            session::audit(&*store, "suppressed", &decided.scope.to_string(), Some(why)).await?;
        }
        lines.push(format!(
            "taken: {}, {} by {}: {}",
            decided.scope,
            decided.decision.words(),
            decided.author,
            decided.reason
        ));
    }
    lines.extend(import.refused.iter().map(|why| format!("not taken: {why}")));
    let verb = if dry_run { "would be taken" } else { "taken" };
    lines.push(format!(
        "{} {verb}, {} known already, {} without a decision, {} not taken",
        plural(import.taken.len() as u64, "decision"),
        import.known,
        import.undecided,
        import.refused.len()
    ));
    print(plain(&lines))
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Lines that have no style of their own, fit to be shown.
fn plain(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| one_line(line).into_owned()).collect()
}
