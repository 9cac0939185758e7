//! Shows a JSON report on the terminal, and writes it again in other formats:
//! `cargo run --example report -- report.json html=report.html`.

use std::path::Path;

use anyhow::{Context as _, bail};
use phantom_gang::cli::summary::{self, Epilogue};
use phantom_gang::report::{Destination, Report, write};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let Some(source) = args.next() else {
        bail!("usage: report REPORT.json [FORMAT=FILE]…");
    };
    let text = std::fs::read_to_string(Path::new(&source)).with_context(|| format!("cannot read {source}"))?;
    let report: Report = serde_json::from_str(&text).with_context(|| format!("{source} is not a report"))?;
    let mut epilogue = Epilogue::default();
    for destination in args {
        let destination: Destination = destination.parse()?;
        write(destination.format, &report, &destination.path)?;
        epilogue.reports.push(destination.path);
    }
    summary::print(&report, &epilogue, false)?;
    Ok(())
}
