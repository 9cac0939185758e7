//! Every case of every check, served over real HTTPS and scanned by the whole pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use futures::StreamExt as _;
use phantom_gang::config::BrowserConfig;
use phantom_gang::declared::declare_all;
use phantom_gang::trial::{Trial, Tried, run_all};

/// A check has at least so many cases that it flags, and so many that it passes.
const LEAST: usize = 3;
/// A check has at least so many cases in all.
const LEAST_IN_ALL: usize = 6;
/// The checks that are held to more.
const CORE: [&str; 4] = [
    "mixed-content",
    "insecure-form",
    "vulnerable-library",
    "missing-csrf-token",
];
/// So many cases each of these has at least.
const LEAST_OF_CORE: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn checks_say_of_each_case_what_it_expects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let declared = root.join("examples/checks");
    declare_all(std::slice::from_ref(&declared)).unwrap_or_else(|error| panic!("{error}"));
    let find = |folder: &Path| Trial::find(folder).unwrap_or_else(|error| panic!("{error}"));
    let trials = [find(&root.join("checks")), find(&declared)].concat();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut wrong = String::new();
    let browser = BrowserConfig::default();
    let mut results = std::pin::pin!(run_all(&trials, &browser));
    while let Some((trial, tried)) = results.next().await {
        let [flag, pass, failed] = counts.entry(&trial.check).or_default();
        *(if trial.case.flags.is_empty() { pass } else { flag }) += 1;
        if let Tried::Wrong(why) | Tried::NotTried(why) = tried {
            *failed += 1;
            writeln!(wrong, "  {} ({}): {why}", trial.name, trial.case.why).unwrap();
        }
    }
    eprintln!("{:<24} {:>5} {:>5} {:>6}", "check", "flag", "pass", "wrong");
    for (check, [flag, pass, failed]) in &counts {
        eprintln!("{check:<24} {flag:>5} {pass:>5} {failed:>6}");
        assert!(
            *flag >= LEAST && *pass >= LEAST,
            "{check} has too few cases of one kind"
        );
        let least = if CORE.contains(check) {
            LEAST_OF_CORE
        } else {
            LEAST_IN_ALL
        };
        assert!(flag + pass >= least, "{check} has fewer than {least} cases");
    }
    assert_eq!(counts.len(), phantom_checks::all().len(), "a check without cases");
    assert!(wrong.is_empty(), "cases that came out otherwise:\n{wrong}");
}
