//! `phantom demo`

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use console::{Style, Term};
use directories::ProjectDirs;
use phantom_checks::Severity;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::scan::{Done, Job, ScanArgs, check_reports};
use super::session::Setup;
use super::{Voice, interrupt};
use crate::config::{
    BrowserConfig, Config, Deployment, JiraAuth, JiraConfig, Lifecycle, SecretSource, TicketDefaults, TicketMode,
};
use crate::crawl::PageState;
use crate::demo::{Comparison, Manifest, Microsite, Pages, Planted, SITE_FILE, compare};
use crate::report::Destination;
use crate::report::safe::one_line;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::scan::{ScanId, Start, Trigger};
use crate::site::Site;
use crate::store::{self, Store};

/// More rows than the demo can have.
const ALL: u32 = 100_000;

/// The arguments of `phantom demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom demo\n  phantom demo --report html=report.html\n  phantom demo --fresh -v\n\n\
                        It ends with 0 only if exactly what was planted was found."
)]
pub struct DemoArgs {
    /// Write a report, as json, html, sarif, junit or csv; may be given several times.
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    reports: Vec<Destination>,
    /// Use this many tabs at once; without it, by cores and memory.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    tabs: Option<u16>,
    /// Keep scans and tickets here; without it, in the platform's data folder.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Forget the scans and tickets of earlier demos first.
    #[arg(long)]
    fresh: bool,
}

/// Serves the microsite and the stand-in for Jira, scans, files tickets, and compares planted with found.
pub async fn run(args: DemoArgs, voice: Voice) -> Ended {
    let folder = args.folder()?;
    let term = Term::stdout();
    let microsite = Microsite::start().await.or_usage()?;
    let sandbox = Sandbox::start(SandboxOptions {
        state_file: Some(folder.join(QUEUE)),
        ..SandboxOptions::default()
    })
    .await
    .or_usage()?;
    if !voice.quiet {
        let hello = format!(
            "A microsite with planted flaws on 127.0.0.1 (https {}, http {}), and a stand-in for Jira: {}",
            microsite.https.port(),
            microsite.http.port(),
            sandbox.queue_url()
        );
        term.write_line(&hello).or_usage()?;
    }
    let config = demo_config(&microsite, &sandbox, &folder)?;
    let site = Site::from_str(SITE_FILE, Path::new("sitemaps/demo.toml")).or_usage()?;
    let store = store::open(Some(&folder.join("demo.db").to_string_lossy()))
        .await
        .or_usage()?;
    check_reports(&args.reports, &site.id.0)?;
    let scan_args = scan_args(&args);
    let job = Job {
        args: &scan_args,
        config: Arc::new(config),
        store: Arc::clone(&store),
        mode: TicketMode::Live,
        voice,
        stop: interrupt::token(),
    };
    let done = job
        .scan(Start::New {
            site: Box::new(site),
            trigger: Trigger::OnDemand,
        })
        .await?;
    let outcome = Outcome::of(&*store, &done.scan).await?;
    for line in outcome.lines(&done, &sandbox, &folder) {
        term.write_line(&line).or_usage()?;
    }
    sandbox.stop();
    microsite.stop().await;
    Ok(outcome.exit(&job.stop))
}

const QUEUE: &str = "jira.json";

impl DemoArgs {
    fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => ProjectDirs::from("", "", "phantom-gang")
                .map(|dirs| dirs.data_dir().join("demo"))
                .ok_or_else(|| anyhow::anyhow!("this account has no home folder; say where with --data FOLDER"))
                .or_usage()?,
        };
        if self.fresh {
            for name in ["demo.db", "demo.db-wal", "demo.db-shm", QUEUE] {
                match fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        let error = anyhow::anyhow!("cannot remove {}: {error}", folder.join(name).display());
                        return Err(error).or_usage();
                    }
                    _ => {}
                }
            }
        }
        fs::create_dir_all(&folder)
            .map_err(|error| {
                anyhow::anyhow!(
                    "cannot make the folder {}: {error}; name another with --data",
                    folder.display()
                )
            })
            .or_usage()?;
        Ok(folder)
    }
}

fn scan_args(args: &DemoArgs) -> ScanArgs {
    ScanArgs {
        targets: Vec::new(),
        max_pages: None,
        explore: None,
        depth: None,
        tabs: args.tabs,
        reports: args.reports.clone(),
        events: false,
        fail_on: Severity::High,
        tickets: Some(TicketMode::Live),
        resume: None,
        profile: None,
        unlock_account: None,
        setup: Setup::default(),
    }
}

fn demo_config(microsite: &Microsite, sandbox: &Sandbox, folder: &Path) -> Result<Config, Failure> {
    let base_url = Url::parse(sandbox.base_url()).or_usage()?;
    let options = SandboxOptions::default();
    let token = folder.join("token");
    fs::write(&token, &options.token).or_usage()?;
    let auth = JiraAuth::Basic {
        user: options.user,
        token: SecretSource::File(token),
    };
    let defaults = TicketDefaults {
        priority: [
            (Severity::Critical, "Highest".to_owned()),
            (Severity::High, "High".to_owned()),
            (Severity::Medium, "Medium".to_owned()),
        ]
        .into(),
        search_projects: options.projects.clone(),
        ..TicketDefaults::of(options.projects.first().cloned().unwrap_or_default())
    };
    let jira = JiraConfig {
        requests_per_s: 100.0,
        timeout: Duration::from_secs(10),
        lifecycle: Lifecycle {
            max_new_per_day: 1_000,
            ..Lifecycle::default()
        },
        ..JiraConfig::new(Deployment::Cloud, base_url, auth, defaults)
    };
    Ok(Config {
        browser: BrowserConfig {
            resolve: microsite.resolve.clone(),
            trust_spki: vec![microsite.spki.clone()],
            ..BrowserConfig::default()
        },
        jira: Some(jira),
        ..Config::default()
    })
}

/// Planted against found.
struct Outcome {
    flaws: Comparison,
    pages: Vec<String>,
}

impl Outcome {
    async fn of(store: &dyn Store, scan: &ScanId) -> Result<Self, Failure> {
        let manifest = Manifest::demo().or_usage()?;
        let mut found = Vec::new();
        for finding in store.findings(scan).await.or_incomplete()? {
            let (pages, _) = store
                .finding_pages(scan, &finding.fingerprint, ALL)
                .await
                .or_incomplete()?;
            found.push(Planted {
                check: finding.check,
                severity: finding.severity,
                confidence: finding.confidence,
                cause: finding.cause.parts,
                pages: pages.into_iter().map(|page| page.url).collect(),
                third_party: finding.third_party,
            });
        }
        let mut pages = Pages::default();
        for (state, urls) in [
            (PageState::Done, &mut pages.done),
            (PageState::Failed, &mut pages.failed),
            (PageState::Skipped, &mut pages.skipped),
        ] {
            urls.extend(
                store
                    .pages(scan, state, ALL)
                    .await
                    .or_incomplete()?
                    .into_iter()
                    .map(|page| page.url),
            );
        }
        Ok(Self {
            flaws: compare(&manifest.planted, &found),
            pages: manifest.pages.differences(&pages),
        })
    }

    fn equal(&self) -> bool {
        self.flaws.is_equal() && self.pages.is_empty()
    }

    fn exit(&self, stop: &CancellationToken) -> Exit {
        match (stop.is_cancelled(), self.equal()) {
            (true, _) => Exit::Interrupted,
            (_, true) => Exit::Clean,
            (_, false) => Exit::Findings,
        }
    }

    fn lines(&self, done: &Done, sandbox: &Sandbox, folder: &Path) -> Vec<String> {
        let (good, bad) = (Style::new().green(), Style::new().red());
        let mut lines = vec![String::new(), "Planted against found".to_owned()];
        let row = |mark: String, flaw: &Planted| {
            let cause: Vec<_> = flaw
                .cause
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let cause = one_line(&cause.join(" ")).into_owned();
            let third = if flaw.third_party {
                " (another site's frame)"
            } else {
                ""
            };
            format!(
                "  {mark} {:<8} {:<9} {:<19} {} page{} {cause}{third}",
                flaw.severity,
                flaw.confidence,
                flaw.check,
                flaw.pages.len(),
                if flaw.pages.len() == 1 { " " } else { "s" },
            )
        };
        lines.extend(
            self.flaws
                .matched
                .iter()
                .map(|flaw| row(good.apply_to("found  ").to_string(), flaw)),
        );
        lines.extend(
            self.flaws
                .missing
                .iter()
                .map(|flaw| row(bad.apply_to("missing").to_string(), flaw)),
        );
        lines.extend(
            self.flaws
                .extra
                .iter()
                .map(|flaw| row(bad.apply_to("extra  ").to_string(), flaw)),
        );
        for (planted, found) in &self.flaws.different {
            lines.push(row(bad.apply_to("planted").to_string(), planted));
            lines.push(row(bad.apply_to("but is ").to_string(), found));
            let other = planted.pages.symmetric_difference(&found.pages);
            lines.extend(other.map(|url| format!("            only one of them on {}", one_line(url))));
        }
        lines.extend(
            self.pages
                .iter()
                .map(|page| format!("  {} {}", bad.apply_to("page   "), one_line(page))),
        );
        let planted = self.flaws.matched.len() + self.flaws.missing.len() + self.flaws.different.len();
        let wrong = self.flaws.missing.len() + self.flaws.extra.len() + self.flaws.different.len() + self.pages.len();
        lines.push(format!(
            "{planted} planted, {} found as planted, {wrong} difference{}. {} findings in the report.",
            self.flaws.matched.len(),
            if wrong == 1 { "" } else { "s" },
            done.report.findings.len(),
        ));
        let filed = done.filed.clone().unwrap_or_default();
        lines.push(format!(
            "Tickets: {} created, {} found again, {} in the queue. To read them: phantom jira-sandbox --state {}",
            filed.created,
            filed.adopted + filed.unchanged,
            sandbox.issues().len(),
            folder.join(QUEUE).display(),
        ));
        lines
    }
}
