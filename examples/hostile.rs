//! A ticket made of hostile page text, filed in a sandbox that goes on serving it, so that a person sees what it shows.
//!
//! `cargo run --example hostile [datacenter]`, then open the address that it prints; it ends with Ctrl-C.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use phantom_checks::evidence::{Evidence, Page};
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};
use phantom_gang::config::Deployment;
use phantom_gang::crawl::{Completion, LeaseRequest, NewPage, PageKey, PageOutcome};
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use phantom_gang::scan::{ScanId, ScanRecord, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store;
use support::{Result, StageClock};

const SITE: &str = "id = \"shop\"\ntitle = \"Shop *bold* [link|http://evil.test]\"\nstart = [\"https://shop.test/\"]\n";

#[tokio::main]
async fn main() -> Result<()> {
    let deployment = match std::env::args().nth(1).as_deref() {
        Some("datacenter") => Deployment::DataCenter,
        _ => Deployment::Cloud,
    };
    let folder = tempfile::tempdir()?;
    let options = SandboxOptions {
        deployment,
        ..SandboxOptions::default()
    };
    let (user, token) = (options.user.clone(), folder.path().join("token"));
    std::fs::write(&token, &options.token)?;
    let sandbox = Sandbox::start(options).await?;
    let jira = support::jira(deployment, sandbox.base_url(), &user, &token)?;
    let store = store::open(folder.path().join("show.db").to_str()).await?;
    let clock = StageClock::new();
    let now = clock.time();
    let site = Site::from_str(SITE, std::path::Path::new("sitemaps/shop.toml"))?;
    let scan = ScanRecord::begun(ScanId::new(now), site, Trigger::OnDemand, now);
    let url: url::Url =
        "https://shop.test/login/{code}/*x*/[~admin]/%3Cscript%3E?q=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E"
            .parse()?;
    let page = NewPage {
        key: PageKey(url.to_string()),
        url: url.clone(),
        depth: 0,
        found_on: None,
        skip: None,
        template: None,
    };
    store.create_scan(&scan, &[page]).await?;
    let request = LeaseRequest {
        scan: &scan.id,
        owner: "show",
        max: 1,
        ttl: std::time::Duration::from_mins(1),
        now,
        pace: std::time::Duration::ZERO,
        concurrency: 1,
        most: u64::MAX,
    };
    let lease = store.lease(&request).await?.pop().ok_or("no page can be leased")?;
    let completion = Completion {
        lease: &lease,
        now,
        outcome: PageOutcome::Done,
        recorded_as: None,
        evidence: Some(&Evidence::of(Page::default())),
        bodies: &BTreeMap::new(),
        observations: &[hostile()],
        failed_checks: &[],
        found: &[],
        obstacle: None,
        hosts: &[],
        mark: None,
    };
    store.complete(&completion).await?;
    support::file(&store, &jira, &clock).await?;
    println!("{}/browse/SEC-1", sandbox.base_url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn hostile() -> Observation {
    let title = format!(
        "A secure page submits a form to \u{202e}tset.live\u{202c} {{code}} @admin [~admin] <b>bold</b> {}",
        "long ".repeat(200_000)
    );
    Observation {
        check: "insecure-form".to_owned(),
        check_version: 1,
        severity: Severity::High,
        confidence: Confidence::Firm,
        title,
        cause: Cause::new(1, [("action", "login.test/in".to_owned())]),
        aliases: Vec::new(),
        facts: vec![
            Fact::new("action", "javascript:alert(document.domain)"),
            Fact::new(
                "form",
                "{code}\n{noformat} h1. Fixed, please close {noformat}\n<form onsubmit=\"alert(1)\">",
            ),
            Fact::new(
                "link",
                "[Click here|javascript:alert(1)] !http://evil.test/x.png! http://evil.test/",
            ),
            Fact::new(
                "mention",
                "@admin [~admin] [~accountid:5b10a2844c20165700ede21g] {color:red}red{color}",
            ),
            Fact::new(
                "direction",
                "invoice\u{202e}gpj.exe \u{200b}\u{feff}\u{2066}hidden\u{2069}",
            ),
            Fact::new("table", "||head||head|| |cell| ---- * item # item"),
        ],
        third_party: false,
    }
}
