//! README.md says what the binary says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{command, end_of};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
/// The block whose text is the program's.
const HELP: (&str, &str) = ("```console\n$ phantom scan -h\n", "```\n");
/// To show its version, a build without optimisation may take this long; an optimised one takes a tenth.
const START: Duration = Duration::from_millis(500);

async fn output_of(arguments: &[&str]) -> Option<String> {
    // The width of somebody's terminal must not matter.
    let child = command(Path::new("."), arguments)
        .env_remove("COLUMNS")
        .spawn()
        .unwrap();
    let ran = end_of(child).await;
    (ran.code == Some(0)).then_some(ran.stdout)
}

#[tokio::test]
async fn the_help_in_the_readme_is_the_programs() {
    let readme = fs::read_to_string(README).unwrap();
    let (before, rest) = readme
        .split_once(HELP.0)
        .expect("README.md has a block for `phantom scan -h`");
    let (shown, after) = rest.split_once(HELP.1).expect("the block ends");
    let help = output_of(&["scan", "-h"]).await.unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(README, [before, HELP.0, &help, HELP.1, after].concat()).unwrap();
        return;
    }
    assert_eq!(shown, help, "run the test with UPDATE_README=1 to write it anew");
}

/// What stands as code in the text: indented lines, and what is between backticks.
fn code(readme: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
        } else if let Some(line) = line.strip_prefix("    ") {
            found.push(line.split(" # ").next().unwrap_or(line).trim());
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

#[tokio::test]
async fn every_command_and_flag_in_the_readme_exists() {
    let readme = fs::read_to_string(README).unwrap();
    let mut flags: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut alone = BTreeSet::new();
    for code in code(&readme) {
        let mut words = code.split_whitespace();
        let command = match words.next() {
            Some("phantom") => words.next().unwrap_or_default(),
            Some("scripts/demo") => "demo",
            Some(flag) if flag.starts_with("--") => {
                alone.insert(flag);
                continue;
            }
            _ => continue,
        };
        let named = words.filter(|word| word.starts_with('-'));
        flags.entry(command).or_default().extend(named);
    }
    assert!(flags.len() >= 4 && flags["scan"].len() >= 4, "{flags:?}");

    let mut all = String::new();
    for (command, flags) in flags {
        let help = output_of(&[command, "--help"]).await;
        let help = help.unwrap_or_else(|| panic!("README.md names `phantom {command}`, which does not exist"));
        for flag in flags {
            assert!(
                help.contains(flag),
                "README.md names `phantom {command} {flag}`, which does not exist"
            );
        }
        all.push_str(&help);
    }
    for flag in alone {
        assert!(all.contains(flag), "README.md names `{flag}`, which does not exist");
    }
}

#[tokio::test]
async fn every_file_that_the_readme_names_is_there() {
    let readme = fs::read_to_string(README).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let linked = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let named = code(&readme)
        .into_iter()
        .filter_map(|code| code.split_whitespace().next());
    let files: BTreeSet<_> = linked
        .chain(named.filter(|word| word.starts_with("scripts/")))
        .collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        assert!(root.join(file).is_file(), "README.md names {file}, which is not there");
    }
}

#[tokio::test]
async fn the_program_starts_at_once() {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let shown = output_of(&["--version"]).await.unwrap();
        best = best.min(began.elapsed());
        assert_eq!(shown, concat!("phantom ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    assert!(best < START, "the quickest of five starts took {best:?}");
}
