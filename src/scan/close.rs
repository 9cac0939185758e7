//! The end of a scan: how much it saw, and where that leaves the site's findings.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use phantom_checks::Check;
use url::Url;

use super::proof::was_tried;
use super::run::Run;
use super::sessions;
use super::{ScanClose, ScanError, ScanId, ScanRecord, ScanState};
use crate::crawl::reached::Obstacle;
use crate::crawl::{LinkRules, NewPage, PageKey, PageState, RobotsBook, is_limit_reason};
use crate::site::{ExploreMode, ScopeRules};
use crate::store::{Store, StoreError};
use crate::triage::{
    CheckRan, Coverage, Finding, Fingerprint, Judgement, PageLook, PagesSeen, ScanFacts, Suppressions, WITNESSES, Why,
    is_blocked, judge_unseen, reached, template_of,
};

/// Whole scans whose coverage is compared with.
const COMPARED: u32 = 3;

/// The pages that must be looked at again in a scan of the whole site: those on which open findings were seen. They
/// come right after the start pages, so that a budget that ends the crawl does not end it before them.
pub(super) async fn witness_pages(
    store: &dyn Store,
    record: &ScanRecord,
    rules: &ScopeRules,
) -> Result<Vec<NewPage>, ScanError> {
    if !is_whole(record) {
        return Ok(Vec::new());
    }
    // Robots are asked when a page's turn comes.
    let robots = RobotsBook::new(false);
    let links = LinkRules {
        scope: rules,
        robots: &robots,
        depth: record.site.limits.depth,
    };
    let findings = store.all_findings(Some(&record.site.id)).await?;
    let mut known = HashSet::new();
    Ok(findings
        .iter()
        .filter(|finding| finding.state.is_open())
        .flat_map(|finding| &finding.past.witnesses)
        .filter(|witness| known.insert(witness.url.clone()))
        .filter_map(|witness| links.page(&Url::parse(&witness.url).ok()?, 1, None).ok())
        .filter(|page| page.skip.is_none())
        // No budget is for them.
        .map(|page| NewPage { template: None, ..page })
        .collect())
}

/// A scan is whole if nobody asked for a part of the site.
pub(super) fn is_whole(record: &ScanRecord) -> bool {
    !record.site.limits.narrowed && !record.trigger.is_look()
}

/// How a scan's work ended, before it was compared with earlier ones.
pub(super) struct Worked {
    pub state: ScanState,
    pub ended: Timestamp,
}

/// Ends a scan: compares its coverage with that of earlier ones, judges the findings that it did not see, and records
/// all that at once. Returns the state in which it ended.
pub(super) async fn close(run: &Run, worked: &Worked) -> Result<ScanState, ScanError> {
    let looks = run.store.page_looks(&run.scan).await?;
    let ran_through = matches!(worked.state, ScanState::Complete | ScanState::Incomplete);
    if ran_through {
        sessions::look_again(run, &looks).await?;
    }
    let pages = pages_seen(run, &looks);
    let whole = is_whole(&run.record);
    // Asked of the store, because an earlier process may have met the limit.
    let cut = looks
        .iter()
        .any(|look| look.reason.as_deref().is_some_and(is_limit_reason));
    let walled = walled(run).await?;
    let ran_whole = whole && ran_through && !cut && !run.login_failed();
    let coverage = coverage(run, &looks, &pages, &walled, ran_whole);
    if run.keeper.is_some() {
        let (seen, pages) = (coverage.logged_in, coverage.logged_in + coverage.logged_out);
        run.remark(format!("{seen} of {pages} pages were seen logged in"));
    }
    let blocked = coverage.too_much_walled().filter(|_| !run.record.trigger.is_look());
    let state = if let (Some(blocked), true) = (blocked, ran_through) {
        run.remark(blocked);
        ScanState::Incomplete
    } else if coverage.whole && worked.state == ScanState::Complete {
        compare(run, &coverage).await?
    } else {
        worked.state
    };
    let judgements = match state {
        _ if run.record.trigger.is_look() => Vec::new(),
        // What will be gone on with is not at its end.
        ScanState::Interrupted | ScanState::Running => Vec::new(),
        ScanState::Complete | ScanState::Incomplete => {
            let complete = state == ScanState::Complete && !cut;
            judge(run, &looks, pages, worked.ended, complete).await?
        }
    };
    let closed = run
        .store
        .close_scan(&ScanClose {
            scan: &run.scan,
            owner: Some(&run.owner),
            state,
            ended: worked.ended,
            remarks: &run.remarks(),
            coverage: &coverage,
            judgements: &judgements,
        })
        .await?;
    if closed.is_none() {
        return Err(ScanError::Lost(run.scan.clone()));
    }
    Ok(state)
}

/// A scan that saw much less than the ones before is incomplete, and says so.
async fn compare(run: &Run, coverage: &Coverage) -> Result<ScanState, ScanError> {
    let before = run.store.coverages(&run.site.id, &run.scan, COMPARED).await?;
    let drops = coverage.drop_since(&before);
    let state = if drops.is_empty() {
        ScanState::Complete
    } else {
        ScanState::Incomplete
    };
    for drop in drops {
        run.remark(drop);
    }
    Ok(state)
}

/// The name by which witnesses and pages of this scan are told to be one: the page's key.
fn key_of(run: &Run, url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(run.rules().page(&url, 0, None).ok()?.key.0)
}

fn pages_seen(run: &Run, looks: &[PageLook]) -> PagesSeen {
    let mut pages = PagesSeen::default();
    for look in looks {
        if let Ok(url) = Url::parse(&look.url)
            && let Some(key) = key_of(run, &look.url)
        {
            pages.add(&key, &template_of(&url), reached(look));
            if look.unchanged.is_some() {
                pages.add_unchanged(&key);
            }
        }
    }
    pages
}

/// The keys of the pages in whose place a challenge, a CAPTCHA, a consent wall or a maintenance page answered, those
/// that were redirected to one included.
pub(super) async fn walled(run: &Run) -> Result<HashSet<PageKey>, StoreError> {
    let looks = run.store.page_looks(&run.scan).await?;
    let blocks = |look: &&PageLook| {
        let obstacle = look.obstacle.as_deref().and_then(Obstacle::named);
        obstacle.is_some_and(Obstacle::blocks)
    };
    let urls: HashSet<String> = looks.iter().filter(blocks).map(|look| look.url.clone()).collect();
    if urls.is_empty() {
        return Ok(HashSet::new());
    }
    let done = run.store.pages(&run.scan, PageState::Done, u32::MAX).await?;
    let mut walled: HashSet<PageKey> = HashSet::new();
    walled.extend(
        done.iter()
            .filter(|row| urls.contains(&row.url))
            .map(|row| row.key.clone()),
    );
    let redirected = done.iter().filter(|row| {
        let to = row.redirected_to.clone().map(PageKey);
        to.is_some_and(|to| walled.contains(&to))
    });
    let redirected: Vec<PageKey> = redirected.map(|row| row.key.clone()).collect();
    walled.extend(redirected);
    Ok(walled)
}

fn coverage(run: &Run, looks: &[PageLook], pages: &PagesSeen, walled: &HashSet<PageKey>, whole: bool) -> Coverage {
    let mut coverage = Coverage {
        whole,
        templates: pages.templates(),
        checks: versions(run).map(|(id, version)| (id.to_owned(), version)).collect(),
        ..Coverage::default()
    };
    let is_walled = |url: &str| key_of(run, url).is_some_and(|key| walled.contains(&PageKey(key)));
    for look in looks {
        let blocked = look.reason.as_deref().is_some_and(is_blocked);
        match look.state {
            _ if blocked => coverage.blocked += 1,
            _ if !walled.is_empty() && is_walled(&look.url) => coverage.walled += 1,
            PageState::Done if look.obstacle.is_some() => coverage.skipped += 1,
            PageState::Done => coverage.pages += 1,
            PageState::Skipped => coverage.skipped += 1,
            PageState::Failed => coverage.failed += 1,
            PageState::Waiting | PageState::Leased => {}
        }
        coverage.forms += look.forms;
        coverage.logged_in += u64::from(look.logged_in == Some(true));
        coverage.logged_out += u64::from(look.logged_in == Some(false));
    }
    coverage
}

fn versions(run: &Run) -> impl Iterator<Item = (&'static str, u32)> {
    let checks: Vec<&'static dyn Check> = run.inspector.checks().to_vec();
    checks.into_iter().map(|check| (check.meta().id, check.meta().version))
}

async fn judge(
    run: &Run,
    looks: &[PageLook],
    pages: PagesSeen,
    ended: Timestamp,
    complete: bool,
) -> Result<Vec<Judgement>, ScanError> {
    let seen: HashSet<Fingerprint> = run
        .store
        .findings(&run.scan)
        .await?
        .into_iter()
        .map(|finding| finding.fingerprint)
        .collect();
    let failed: HashSet<&String> = looks.iter().flat_map(|look| &look.failed_checks).collect();
    let checks: BTreeMap<String, CheckRan> = versions(run)
        .map(|(id, version)| {
            let failed = failed.iter().any(|failed| *failed == id);
            (id.to_owned(), CheckRan { version, failed })
        })
        .collect();
    let suppressions = Suppressions::new(run.store.suppressions().await?);
    let in_scope = |url: &str| Url::parse(url).is_ok_and(|url| run.scope().admits(&url).is_ok());
    let key = |url: &str| key_of(run, url);
    let findings = run.store.all_findings(Some(&run.site.id)).await?;
    let untried = untried(
        run,
        findings.iter().filter(|finding| !seen.contains(&finding.fingerprint)),
    )
    .await?;
    let facts = ScanFacts {
        scan: &run.scan,
        ended,
        whole: is_whole(&run.record),
        complete,
        logged_in: !run.login_failed(),
        checks,
        pages,
        key_of: &key,
        in_scope: &in_scope,
        retired: false,
        suppressions: &suppressions,
        clean_scans: run.clean_scans,
        untried: &untried,
    };
    let mut judgements = Vec::new();
    for finding in findings {
        if seen.contains(&finding.fingerprint) {
            if facts.whole && complete {
                judgements.extend(repinned(run, finding).await?);
            }
        // What another scan has seen meanwhile is there, whatever this one missed.
        } else if finding.last_seen < run.record.started {
            judgements.extend(judge_unseen(&finding, &facts));
        }
    }
    Ok(judgements)
}

/// The findings that were seen by doing more than this scan has done: they may be there still.
async fn untried(run: &Run, unseen: impl Iterator<Item = &Finding>) -> Result<BTreeSet<Fingerprint>, ScanError> {
    let mut untried = BTreeSet::new();
    let mut modes: BTreeMap<&ScanId, ExploreMode> = BTreeMap::new();
    for finding in unseen {
        if !modes.contains_key(&finding.last_scan) {
            modes.insert(&finding.last_scan, mode_of(&*run.store, &finding.last_scan).await?);
        }
        let deeper = modes
            .get(&finding.last_scan)
            .is_some_and(|mode| *mode > run.site.explore.mode);
        let witnesses = finding.past.witnesses.iter();
        let keys = witnesses.filter_map(|witness| key_of(run, &witness.url)).map(PageKey);
        if deeper || !was_tried(&*run.store, &run.scan, finding, keys).await? {
            untried.insert(finding.fingerprint.clone());
        }
    }
    Ok(untried)
}

/// How far a scan explored; no further than any, if it is not kept.
pub(super) async fn mode_of(store: &dyn Store, scan: &ScanId) -> Result<ExploreMode, StoreError> {
    let record = store.scan(scan).await?;
    Ok(record.map_or(ExploreMode::Observe, |record| record.site.explore.mode))
}

/// A finding that moved has its witnesses where it is now.
async fn repinned(run: &Run, finding: Finding) -> Result<Option<Judgement>, ScanError> {
    if !finding.past.has_stale_witnesses(&run.scan) {
        return Ok(None);
    }
    let most = u32::try_from(WITNESSES).unwrap_or(u32::MAX);
    let (pages, _) = run.store.finding_pages(&run.scan, &finding.fingerprint, most).await?;
    let mut after = finding.clone();
    after.past.repin(&run.scan, pages.into_iter().map(|page| page.url));
    Ok(Some(Judgement {
        before: finding,
        after,
        why: Why::Moved,
    }))
}
