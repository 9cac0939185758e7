//! `phantom checks`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use console::{Style, Term};
use futures::StreamExt as _;
use phantom_checks::{Check, all, by_id, docs};
use serde::Serialize;

use super::exit::{Ended, Exit, Failure, OrExit};
use super::output::{Shape, print, quoted, table};
use super::paint;
use super::session::{Setup, read_config};
use crate::config::{BrowserConfig, Config};
use crate::declared::{self, LEAST_CASES};
use crate::report::plural;
use crate::report::safe::{fit, one_line};
use crate::scan::{ReplayError, Replayed, ReplayedFinding, ScanId, replay};
use crate::trial::{Trial, Tried, run_all};

/// The arguments of `phantom checks`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom checks list\n  phantom checks explain mixed-content\n  phantom checks test \
                  checks/mixed_content\n  phantom checks run --over last\n  phantom checks new odd-thing"
)]
pub struct ChecksArgs {
    #[command(subcommand)]
    command: ChecksCommand,
}

#[derive(Debug, Subcommand)]
enum ChecksCommand {
    /// List all checks
    List {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        settings: Settings,
    },
    /// Say what a check looks for, why that matters, how it decides, and how to fix it
    Explain {
        /// The id of the check.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the JSON Schema of a check that is declared as TOML, for completion in editors
    Schema,
    /// Serve the cases of a check, or of all checks in a folder, scan them, and compare with what they expect
    #[command(
        after_help = "Of the settings only the browser counts, so that cases can be tried with another one.\n\nExamples:\n  \
                      phantom checks test checks/mixed_content\n  phantom checks test our-checks --config chromium.toml"
    )]
    Test {
        /// The folder of a check, or of several.
        #[arg(value_name = "DIR", default_value = "checks")]
        folder: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Begin a check: its folder with documentation to fill in and cases
    #[command(
        after_help = "A check in Rust is a part of the program and begun in a checkout of its sources. One that is declared \
                      as TOML is a folder of your own, which the settings name under `checks.folders`.\n\nExamples:\n  \
                      phantom checks new odd-thing\n  phantom checks new odd-thing --toml --in our-checks"
    )]
    New {
        /// Its id, in small letters with hyphens: `odd-thing`. It never changes.
        #[arg(value_name = "ID")]
        id: String,
        /// The folder of all checks.
        #[arg(long = "in", value_name = "DIR", default_value = "checks")]
        folder: PathBuf,
        /// Declare it as TOML instead of writing it in Rust.
        #[arg(long)]
        toml: bool,
    },
    /// Run checks over the stored evidence of a scan, without a browser; it changes nothing
    #[command(
        after_help = "A check that asks the page itself something is not run where the page was not asked, or was asked \
                      otherwise by another version.\n\nExamples:\n  phantom checks run --over last\n  phantom checks run \
                      --over 20261123-045900-7f3a --check mixed-content --json"
    )]
    Run {
        /// The scan, as its report names it; `last` is the newest one.
        #[arg(long, value_name = "SCAN")]
        over: String,
        /// Only this check; may be given several times.
        #[arg(long = "check", value_name = "ID")]
        checks: Vec<String>,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
}

/// Which settings declare checks.
#[derive(Debug, Args)]
struct Settings {
    /// The settings; without it, phantom.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Settings {
    fn read(&self) -> Result<(), Failure> {
        read_config(self.config.as_deref()).map(drop)
    }
}

/// Does what is asked with checks.
pub async fn run(args: ChecksArgs) -> Ended {
    match args.command {
        ChecksCommand::List { shape, settings } => {
            settings.read()?;
            list(shape)
        }
        ChecksCommand::Explain { id, settings } => {
            settings.read()?;
            explain(known(&id)?)
        }
        ChecksCommand::Schema => print([declared::SCHEMA.trim_end().to_owned()]),
        ChecksCommand::Test { folder, settings } => {
            // The checks of the folder may be among those that are declared, and not be ready yet.
            declared::declare_new(&folder).or_usage()?;
            let config = settings.config.as_deref().map(Config::load).transpose().or_usage()?;
            test(&folder, &config.unwrap_or_default().browser).await
        }
        ChecksCommand::New { id, folder, toml } => new(&id, &folder, toml),
        ChecksCommand::Run {
            over,
            checks,
            shape,
            setup,
        } => over_scan(&over, &checks, shape, &setup).await,
    }
}

/// The check that somebody means.
fn known(id: &str) -> Result<&'static dyn Check, Failure> {
    let found = by_id(id).ok_or_else(|| {
        let near = all()
            .iter()
            .map(|check| check.meta().id)
            .max_by(|one, other| strsim::jaro_winkler(one, id).total_cmp(&strsim::jaro_winkler(other, id)))
            .filter(|near| strsim::jaro_winkler(near, id) > 0.8);
        let hint = near.map_or_else(
            || "`phantom checks list` lists them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        anyhow::anyhow!("there is no check `{id}`; {hint}")
    });
    found.or_usage()
}

#[derive(Serialize)]
struct Listed {
    id: &'static str,
    version: u32,
    title: &'static str,
    severity: phantom_checks::Severity,
    cwe: u32,
    /// It asks the page itself something.
    probe: bool,
    /// It is declared by the installation.
    declared: bool,
}

fn list(shape: Shape) -> Ended {
    let listed: Vec<Listed> = all()
        .iter()
        .map(|check| {
            let meta = check.meta();
            Listed {
                id: meta.id,
                version: meta.version,
                title: meta.title,
                severity: meta.severity,
                cwe: meta.cwe,
                probe: check.probe().is_some(),
                declared: !phantom_checks::built_in().iter().any(|own| own.meta().id == meta.id),
            }
        })
        .collect();
    shape.show(&listed, || {
        let style = Style::new();
        let cells = |check: &Listed| {
            [
                check.id.to_owned(),
                paint::severity(check.severity, &style).to_string(),
                format!("CWE-{}", check.cwe),
                check.title.to_owned(),
            ]
        };
        let cells: Vec<_> = listed.iter().map(cells).collect();
        table(["id", "usually", "weakness", "title"], &cells)
    })
}

fn explain(check: &dyn Check) -> Ended {
    let meta = check.meta();
    let bold = Style::new().bold();
    let mut lines = vec![
        bold.apply_to(format!("{}: {}", meta.id, meta.title)).to_string(),
        format!("version {}, usually {}, CWE-{}", meta.version, meta.severity, meta.cwe),
    ];
    for (heading, text) in meta.docs().sections() {
        lines.push(String::new());
        lines.push(bold.apply_to(heading).to_string());
        lines.push(String::new());
        lines.extend(text.lines().map(str::to_owned));
    }
    print(lines)
}

async fn test(folder: &Path, browser: &BrowserConfig) -> Ended {
    let trials = Trial::find(folder).or_usage()?;
    let term = Term::stdout();
    let (good, bad, odd) = (Style::new().green(), Style::new().red(), Style::new().yellow());
    let (mut wrong, mut not_tried, mut few) = (0_u64, 0_u64, 0_u64);
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for trial in &trials {
        let kind = usize::from(trial.case.flags.is_empty());
        counts.entry(trial.check.as_str()).or_default()[kind] += 1;
    }
    let began = Instant::now();
    let mut results = std::pin::pin!(run_all(&trials, browser));
    while let Some((trial, tried)) = results.next().await {
        let name = one_line(&trial.name);
        let line = match tried {
            Tried::Right => format!("{}  {name}", good.apply_to("right    ")),
            Tried::Wrong(why) => {
                wrong += 1;
                format!(
                    "{}  {name} ({}): {}",
                    bad.apply_to("wrong    "),
                    one_line(&trial.case.why),
                    one_line(&why)
                )
            }
            Tried::NotTried(why) => {
                not_tried += 1;
                format!("{}  {name}: {}", odd.apply_to("not tried"), one_line(&why))
            }
        };
        term.write_line(&line).or_usage()?;
    }
    for (check, [flag, pass]) in &counts {
        if *flag.min(pass) < LEAST_CASES {
            few += 1;
            let line = format!(
                "{}  {check} has {flag} cases that must be flagged and {pass} that must pass; write {LEAST_CASES} of each",
                bad.apply_to("too few  ")
            );
            term.write_line(&line).or_usage()?;
        }
    }
    let too_few = match few {
        0 => String::new(),
        _ => format!(", {} with too few", plural(few, "check")),
    };
    let line = format!(
        "{}, {wrong} wrong, {not_tried} not tried{too_few}, in {:.1} s",
        plural(trials.len() as u64, "case"),
        began.elapsed().as_secs_f64()
    );
    term.write_line(&line).or_usage()?;
    Ok(match (wrong + few, not_tried) {
        (0, 0) => Exit::Clean,
        (_, 0) => Exit::Findings,
        _ => Exit::Incomplete,
    })
}

fn new(id: &str, folder: &Path, toml: bool) -> Ended {
    let kebab = id
        .split('-')
        .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    if !kebab {
        return Err(anyhow::anyhow!(
            "`{id}` is no id: use small letters, with hyphens between words, such as `odd-thing`"
        ))
        .or_usage();
    }
    if by_id(id).is_some() {
        return Err(anyhow::anyhow!(
            "there is a check `{id}` already: phantom checks explain {id}"
        ))
        .or_usage();
    }
    if toml {
        return new_declared(id, folder);
    }
    if !folder.join("lib.rs").is_file() {
        return Err(anyhow::anyhow!(
            "{} is not the folder of the checks: a check is a part of the program; run this in a checkout of its sources, \
             say where with --in, or declare a check of your own with --toml",
            folder.display()
        ))
        .or_usage();
    }
    let name = id.replace('-', "_");
    let type_name: String = id
        .split('-')
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect();
    let home = folder.join(&name);
    write_new(&home.join("mod.rs"), &skeleton(id, &type_name)).or_usage()?;
    write_cases(&home).or_usage()?;
    print([
        format!("{} begins the check `{id}`. What is left to do:", home.display()),
        format!("  1. in {}: `pub mod {name};`", folder.join("lib.rs").display()),
        format!("     and in `all()`: `&{name}::{type_name},`"),
        "  2. its documentation, its CWE and its logic in mod.rs".to_owned(),
        "  3. six cases or more, that it flags and that it passes".to_owned(),
        format!("  4. cargo run -- checks test {}", home.display()),
    ])
}

fn new_declared(id: &str, folder: &Path) -> Ended {
    let home = folder.join(id);
    let file = home.join(declared::FILE);
    write_new(&file, &include_str!("check.toml").replace("odd-thing", id)).or_usage()?;
    write_cases(&home).or_usage()?;
    print([
        format!("{} begins the check `{id}`. What is left to do:", home.display()),
        format!("  1. its documentation, its CWE and its rules in {}", file.display()),
        format!("  2. {LEAST_CASES} cases or more that it flags, and as many that it passes"),
        format!("  3. phantom checks test {}", quoted(&home.to_string_lossy())),
        format!(
            "  4. in phantom.toml: [checks] folders = [{:?}]",
            folder.display().to_string()
        ),
    ])
}

/// One case of each kind, to begin with.
fn write_cases(home: &Path) -> anyhow::Result<()> {
    for (file, case) in [
        (
            "flagged.html",
            "expect: flag severity=low confidence=firm\nwhy: say what is wrong here",
        ),
        ("passed.html", "expect: pass\nwhy: say what looks wrong and is not"),
    ] {
        let title = file.trim_end_matches(".html");
        let html = format!(
            "<!--\n{case}\n-->\n<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <title>{title}</title>\n</head>\n<body>\n</body>\n</html>\n"
        );
        write_new(&home.join("cases").join(file), &html)?;
    }
    Ok(())
}

/// Writes a file that is not there yet, and the folders it is in.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} is there already and is left as it is; go on with it, or choose another id",
            path.display()
        ),
        _ => anyhow::anyhow!("cannot write {}: {error}", path.display()),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

fn skeleton(id: &str, type_name: &str) -> String {
    let mut text = String::new();
    for heading in docs::HEADINGS {
        let hint = match heading {
            "How it decides" => "Severity: …\n//!\n//! Confidence: …",
            "References" => "- CWE-0, …: <https://cwe.mitre.org/data/definitions/0.html>",
            _ => "…",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "//! # {heading}\n//!\n//! {hint}\n//!\n");
    }
    let text = text.trim_end_matches("//!\n");
    format!(
        "{text}
use crate::check::{{Check, Meta, Outcome, Subject}};
use crate::observation::Severity;

/// …
pub struct {type_name};

static META: Meta = Meta {{
    id: \"{id}\",
    version: 1,
    title: \"…\",
    severity: Severity::Low,
    cwe: 0,
    source: include_str!(\"mod.rs\"),
}};

impl Check for {type_name} {{
    fn meta(&self) -> &'static Meta {{
        &META
    }}

    fn run(&self, _subject: &Subject<'_>) -> Outcome {{
        Outcome::default()
    }}
}}
"
    )
}

/// What is told of checks over stored evidence.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    replayed: &'a Replayed,
    seconds: f64,
}

async fn over_scan(over: &str, ids: &[String], shape: Shape, setup: &Setup) -> Ended {
    let began = Instant::now();
    let config = setup.config()?;
    let mut checks: Vec<&'static dyn Check> = Vec::new();
    for id in ids {
        checks.push(known(id)?);
    }
    if ids.is_empty() {
        checks = all().to_vec();
    }
    let store = setup.store(&config).await?;
    let record = if over == "last" {
        store.newest_scan(None).await.or_incomplete()?
    } else {
        store.scan(&ScanId(over.to_owned())).await.or_incomplete()?
    };
    let missing = || match over {
        "last" => ReplayError::NoScans,
        _ => ReplayError::NoScan(over.to_owned()),
    };
    let record = record.ok_or_else(missing).or_usage()?;
    let replayed = replay(&store, &record, checks).await.or_incomplete()?;
    let told = Told {
        replayed: &replayed,
        seconds: (began.elapsed().as_secs_f64() * 100.0).round() / 100.0,
    };
    shape.show(&told, || lines(&told))
}

fn lines(told: &Told<'_>) -> Vec<String> {
    let replayed = told.replayed;
    let style = Style::new();
    let row = |finding: &ReplayedFinding, word: &str| {
        format!(
            "{:<12}  {:<8}  {:<9}  {:<5}  {:>5}  {}",
            finding.fingerprint.short(),
            paint::severity(finding.severity, &style),
            finding.confidence,
            word,
            finding.pages.len(),
            fit(&finding.title, 110)
        )
    };
    let heading = format!(
        "{:<12}  {:<8}  {:<9}  {:<5}  {:>5}  finding",
        "fingerprint", "severity", "sure", "", "pages"
    );
    let mut lines = vec![style.clone().dim().apply_to(heading).to_string()];
    lines.extend(
        replayed
            .findings
            .iter()
            .map(|finding| row(finding, if finding.known { "" } else { "new" })),
    );
    lines.extend(replayed.gone.iter().map(|finding| row(finding, "gone")));
    let yellow = style.yellow();
    for check in &replayed.checks {
        let mut say = |count: u64, why: &str| {
            if count > 0 {
                let pages = plural(count, "page");
                lines.push(format!(
                    "{}  {}: {pages} {why}",
                    yellow.apply_to("not checked"),
                    check.id
                ));
            }
        };
        say(check.not_checked, "were not asked what it asks today");
        say(check.failed, "on which it failed; please report it");
        if check.unanswered > 0 {
            let questions = plural(check.unanswered, "question");
            lines.push(format!(
                "{}  {}: {questions} that only a scan can answer",
                yellow.apply_to("not checked"),
                check.id
            ));
        }
    }
    if replayed.without_evidence > 0 {
        let pages = plural(replayed.without_evidence, "page");
        lines.push(format!(
            "{}  {pages} whose evidence is no longer kept",
            yellow.apply_to("not checked")
        ));
    }
    lines.push(format!(
        "{}, {} over {} of scan {}, in {:.2} s",
        plural(replayed.findings.len() as u64, "finding"),
        plural(replayed.checks.len() as u64, "check"),
        plural(replayed.pages, "page"),
        replayed.scan,
        told.seconds
    ));
    lines
}
