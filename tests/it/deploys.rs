//! Findings of the demo keep their fingerprints whatever the order of a scan and whatever a deployment changes.
//!
//! `PHANTOM_DEPLOY_SCANS=5 cargo test --test it deploys` scans more often before the second deployment.

use std::collections::BTreeMap;

use phantom_gang::demo::{Deployed, Files, SITE_FILE};

use crate::support::Bench;

/// Fingerprints with what they stand for.
type Found = BTreeMap<String, String>;

async fn scan(noise: u64, again: bool) -> (Found, Vec<String>) {
    let content = Deployed::new(Files::demo().unwrap(), noise, again);
    let bench = Bench::of(content, "").await;
    bench.write("sitemaps/demo.toml", SITE_FILE);
    let (ran, report) = bench.scan(&["demo"]).await;
    let all = report["findings"].as_array().unwrap();
    assert!(all.len() > 20, "{ran:#?}");
    let mut libraries = Vec::new();
    let mut found = Found::new();
    for one in all {
        if one["check"] == "vulnerable-library" {
            libraries.push(one["title"].as_str().unwrap().to_owned());
        }
        let is = format!("{} {}", one["check"], one["cause"]["parts"]);
        let twice = found.insert(one["fingerprint"].as_str().unwrap().to_owned(), is);
        assert_eq!(twice, None);
    }
    libraries.sort();
    (found, libraries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_changes_no_fingerprint() {
    let scans = std::env::var("PHANTOM_DEPLOY_SCANS").ok();
    let scans: u64 = scans.map_or(1, |scans| scans.parse().unwrap());
    let (first, libraries) = scan(0, false).await;
    for round in 1..scans {
        let (found, same) = scan(round << 32, false).await;
        assert_eq!((&found, &same), (&first, &libraries), "scan {}", round + 1);
    }
    let (found, others) = scan(scans << 32, true).await;
    assert_eq!(found, first, "deployed again");
    let changed = libraries.iter().zip(&others).filter(|(old, new)| old != new).count();
    assert_eq!(
        changed,
        libraries.len(),
        "each has another version: {libraries:?} {others:?}"
    );
}
