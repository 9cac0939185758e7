//! `phantom advisories`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use url::Url;

use super::exit::{Ended, OrExit};
use super::output::{Shape, print};
use super::session::{Setup, audit};
use crate::report::plural;
use crate::report::safe::one_line;
use crate::scan::{ADVISORIES_SOURCE, AdvisoriesInUse, AdvisorySource, advisories_in_use, update_advisories};

/// The arguments of `phantom advisories`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phantom advisories show\n  phantom advisories update\n  phantom advisories update --from \
                  jsrepository-v5.json\n  phantom advisories update --from https://mirror.shop.example/jsrepository-v5.json"
)]
pub struct AdvisoriesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what is known about vulnerable libraries, and of which day
    Show {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        setup: Setup,
    },
    /// Take new advisories into the store, for all scans from now on; bad or old ones change nothing
    Update {
        /// A file or a URL in the format of retire.js; without it, where retire.js publishes it.
        #[arg(long, value_name = "FILE|URL")]
        from: Option<String>,
        /// The day on which the file was fetched; without it, the day on which it was last written.
        #[arg(long, value_name = "YYYY-MM-DD", requires = "from")]
        date: Option<Date>,
        #[command(flatten)]
        setup: Setup,
    },
}

/// Does what is asked with advisories.
pub async fn run(args: AdvisoriesArgs) -> Ended {
    match args.what {
        What::Show { shape, setup } => {
            let store = setup.store(&setup.config()?).await?;
            let known = advisories_in_use(&*store, Timestamp::now()).await.or_incomplete()?;
            shape.show(&known, || vec![said(&known)])
        }
        What::Update { from, date, setup } => {
            let config = setup.config()?;
            let store = setup.store(&config).await?;
            let source = source(from.as_deref().unwrap_or(ADVISORIES_SOURCE), date).or_usage()?;
            let now = Timestamp::now();
            let unused = update_advisories(&*store, &config, &source, now)
                .await
                .or_incomplete()?;
            let known = advisories_in_use(&*store, now).await.or_incomplete()?;
            audit(&*store, "advisories updated", &known.date, known.origin.clone()).await?;
            let mut lines: Vec<String> = unused
                .iter()
                .map(|what| format!("not used: {}", one_line(what)))
                .collect();
            lines.push(said(&known));
            print(lines)
        }
    }
}

fn source(from: &str, date: Option<Date>) -> anyhow::Result<AdvisorySource> {
    if from.contains("://") {
        let url = Url::parse(from)?;
        anyhow::ensure!(
            url.scheme() == "https",
            "{from} is not an https URL; what comes in the clear may be anybody's"
        );
        anyhow::ensure!(date.is_none(), "--date is for files; what is fetched now is of today");
        return Ok(AdvisorySource::Web(url));
    }
    let path = PathBuf::from(from);
    let date = if let Some(date) = date {
        date
    } else {
        let about = std::fs::metadata(&path).map_err(|error| anyhow::anyhow!("cannot read {from}: {error}"))?;
        Timestamp::try_from(about.modified()?)?.to_zoned(TimeZone::UTC).date()
    };
    Ok(AdvisorySource::File(path, date))
}

/// What is known, in a line.
pub fn said(known: &AdvisoriesInUse) -> String {
    let origin = match &known.origin {
        Some(origin) => one_line(origin),
        None => "part of the program".into(),
    };
    let age = match known.days {
        Some(0) | None => String::new(),
        Some(days) => format!(", {} old", plural(u64::try_from(days).unwrap_or_default(), "day")),
    };
    let old = if known.old {
        "; what was found since is not known: run `phantom advisories update`"
    } else {
        ""
    };
    format!(
        "{} advisories on {} libraries of {}{age} ({origin}){old}",
        known.advisories, known.libraries, known.date
    )
}
