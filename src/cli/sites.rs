//! `phantom sites`

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use url::Url;

use super::exit::{self, Ended, Exit, Failure, OrExit};
use super::interrupt;
use super::output::{self, Shape};
use super::session::{self, SITES, Setup};
use crate::report::safe::one_line;
use crate::scan::{Asked, Scanner};
use crate::site::{self, Draft, SCHEMA, Site, SiteId};
use crate::store;

/// The arguments of `phantom sites`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom sites list\n  phantom sites check\n  phantom sites check sitemaps/shop.toml\n  \
                  phantom sites schema > site.schema.json\n  phantom sites add https://promo.shop.example/"
)]
pub struct SitesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the sites that have files in sitemaps/
    List(Shape),
    /// Say all that is wrong with the files of sites, and which of them claim the same
    Check(CheckArgs),
    /// Print the JSON Schema of a site's file, for completion in editors
    Schema,
    /// Write the file of a site, after asking the site itself
    Add(Box<AddArgs>),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  all is well\n  2  something is wrong\n\nExamples:\n  phantom sites check\n  \
                        phantom sites check sitemaps/shop.toml sitemaps/help.toml"
)]
struct CheckArgs {
    /// The files; without them, all in sitemaps/.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It looks at one page with a browser, at robots.txt, the sitemaps and the other files where sites say \
                  what they have, and records nothing but the file. A file that is there is never written over.\n\nExamples:\n  phantom sites add \
                  https://promo.shop.example/\n  phantom sites add https://www.shop.example/ --id shop-main"
)]
struct AddArgs {
    /// Where the crawl of the site is to start.
    #[arg(value_name = "URL")]
    url: Url,
    /// The site's id, which is kept for ever; without it, one is made from the host.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    setup: Setup,
}

/// A site in the list.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a SiteId,
    title: &'a str,
    owner: Option<&'a str>,
    start: Vec<String>,
    file: String,
}

/// What came of looking at files.
#[derive(Debug, Serialize)]
struct Told {
    sites: usize,
    problems: Vec<String>,
}

/// Runs the command.
pub async fn run(args: SitesArgs) -> Ended {
    match args.what {
        What::List(shape) => list(shape),
        What::Check(args) => check(&args),
        What::Schema => output::print([SCHEMA.trim_end().to_owned()]),
        What::Add(args) => add(*args).await,
    }
}

fn list(shape: Shape) -> Ended {
    session::read_once()?;
    let checked = site::check(&[], Path::new(SITES)).or_usage()?;
    let rows: Vec<Row<'_>> = checked.sites.iter().map(|(file, site)| row(file, site)).collect();
    let shown = shape.show(&rows, || {
        if rows.is_empty() && checked.problems.is_empty() {
            return vec![format!(
                "There is no site in {SITES}/; `phantom sites add URL` writes one."
            )];
        }
        let cells = |row: &Row<'_>| {
            let start = row.start.first().map_or("", String::as_str);
            [&row.id.0, start, row.title, row.owner.unwrap_or_default(), &row.file]
                .map(|cell| one_line(cell).into_owned())
        };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        output::table(["site", "starts at", "title", "owner", "file"], &cells)
    })?;
    for problem in &checked.problems {
        exit::say(&problem.to_string());
    }
    Ok(if checked.problems.is_empty() {
        shown
    } else {
        Exit::Usage
    })
}

fn row<'a>(file: &Path, site: &'a Site) -> Row<'a> {
    Row {
        id: &site.id,
        title: &site.title,
        owner: site.owner.as_deref(),
        start: site.start.iter().map(Url::to_string).collect(),
        file: file.display().to_string(),
    }
}

fn check(args: &CheckArgs) -> Ended {
    session::read_once()?;
    let checked = site::check(&args.files, Path::new(SITES)).or_usage()?;
    let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    let told = Told {
        sites: checked.sites.len(),
        problems,
    };
    args.shape.show(&told, || {
        let lines = told.problems.iter().flat_map(|problem| problem.lines());
        let mut lines: Vec<String> = lines.map(|line| one_line(line).into_owned()).collect();
        let (sites, count) = (told.sites, told.problems.len());
        let s = |count: usize| if count == 1 { "" } else { "s" };
        lines.push(match count {
            0 => format!("{sites} site{}, nothing wrong", s(sites)),
            _ => format!("{sites} site{} can be read; what is wrong is said above", s(sites)),
        });
        lines
    })?;
    Ok(if told.problems.is_empty() {
        Exit::Clean
    } else {
        Exit::Usage
    })
}

async fn add(args: AddArgs) -> Ended {
    let usage = |text: String| Failure {
        error: anyhow::anyhow!(text),
        exit: Exit::Usage,
    };
    let host = args.url.host_str().unwrap_or_default();
    let id = args.id.map_or_else(|| site::id_of(host), SiteId);
    let file = Path::new(SITES).join(format!("{id}.toml"));
    // What would keep the file from being written shows before anybody is asked.
    let book = session::sites()?;
    if let Some(claimant) = book.claimant(&args.url) {
        let claimant = claimant.display();
        return Err(usage(format!(
            "{claimant} claims {host} already; change that file, or scan its site"
        )));
    }
    if file.exists() {
        let file = file.display();
        return Err(usage(format!(
            "{file} is there already; choose another --id, or remove it"
        )));
    }
    let config = Arc::new(args.setup.config()?);
    let scanner = Scanner {
        // Never written to: the site is asked with a store of its own.
        store: store::open(args.setup.store.as_deref().or(config.store.as_deref()))
            .await
            .or_usage()?,
        config,
        tabs: 1,
        listener: Arc::new(|_| {}),
        by: session::who(),
        stop: interrupt::token(),
        now: Arc::new(jiff::Timestamp::now),
    };
    let asked = scanner.ask(&args.url).await.or_incomplete()?;
    let text = draft(id.clone(), &args.url, &asked).text();
    let made = Site::from_str(&text, &file).or_usage()?;
    book.clone().add(file.clone(), made).or_usage()?;
    write_new(&file, &text).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => "it is there already; choose another --id, or remove it".to_owned(),
            _ => error.to_string(),
        };
        usage(format!("{} was not written: {why}", file.display()))
    })?;
    output::print(next(&id, &file, &asked))
}

fn draft(id: SiteId, url: &Url, asked: &Asked) -> Draft {
    let own = |url: &Url| url.origin().ascii_serialization();
    let mut origins = vec![own(&asked.url), own(url)];
    origins.dedup();
    let start = if own(&asked.url) == own(url) { url } else { &asked.url };
    let mut start = start.clone();
    start.set_fragment(None);
    Draft {
        id,
        title: asked.title.clone(),
        start,
        origins,
        sitemap_pages: asked.sitemap_pages,
        robots: asked.robots,
        login: asked.login.clone(),
    }
}

fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create_new(file)?.write_all(text.as_bytes())
}

/// What was seen, and what to do next.
fn next(id: &SiteId, file: &Path, asked: &Asked) -> Vec<String> {
    let title = asked.title.as_deref().unwrap_or("a page without a title");
    let mut seen = vec![match asked.sitemap_pages {
        0 => "no sitemap".to_owned(),
        pages => format!("{pages} pages in sitemaps"),
    }];
    seen.push(
        if asked.robots.is_some() {
            "a robots.txt"
        } else {
            "no robots.txt"
        }
        .to_owned(),
    );
    seen.extend(asked.login.is_some().then(|| "a login form".to_owned()));
    let mut lines = vec![
        format!("{} is written.", file.display()),
        format!("Seen: {title}; {}.", seen.join(", ")),
    ];
    if let Some(obstacle) = &asked.obstacle {
        lines.push(format!(
            "What answered was not the site but {obstacle}; ask its owner to let the scanner in."
        ));
    }
    lines.extend([
        "Next: say in it who repairs the site (`owner`) and who allowed the scan (`approved_by`), then".to_owned(),
        "  phantom sites check".to_owned(),
        format!("  phantom scan {id} --max-pages 50 --tickets off --report html={id}.html"),
    ]);
    lines.iter().map(|line| one_line(line).into_owned()).collect()
}
