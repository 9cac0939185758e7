//! Collects what a report says from the store, then puts it together without one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use phantom_checks::{Meta, Severity};
use url::Url;

use super::ReportError;
use super::endpoints::Endpoints;
use super::model::{
    CheckRun, EndpointPart, FailedPage, FindingPart, NotCheckedKind, PageCounts, PicturePart, Report, SCHEMA, ScanPart,
    TicketPart, Tool, UnchangedPage, UnclaimedHost, Unseen,
};
use super::not_checked::Groups;
use super::suppressed::{self, Apart};
use super::verdict::{Basis, Verdict};
use crate::crawl::reached::Obstacle;
use crate::crawl::{PageKey, PageRow, PageState, SeenHost, is_cut_off_reason, is_left_out_reason, page_key};
use crate::scan::{ScanCounts, ScanId, ScanRecord, Standing};
use crate::site::{ExploreMode, ScopeRules, Site, SiteBook};
use crate::store::{Store, StoreError};
use crate::tickets::TicketLink;
use crate::triage::{
    Finding, FindingPage, FindingState, Instruction, PageLook, Picture, Suppression, Trail, reproduce,
};

/// Why a check that tries things on pages was not run.
const UNEXPLORED: &str = "pages were only looked at; `--explore safe` uses them, too";

/// Pages listed of one finding.
pub const MAX_PAGES: u32 = 100;
/// Failed pages listed.
pub const MAX_FAILED: u32 = 1_000;

/// Pages listed that were taken as unchanged.
pub const MAX_UNCHANGED: usize = 10_000;

/// Pictures shown in all, in bytes.
const MAX_PICTURES: usize = 8 << 20;

/// What a report needs to know beyond the store.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Findings at or above it fail the scan.
    pub fail_on: Severity,
    /// Where people open tickets, if a Jira is configured.
    pub browse_url: Option<&'a Url>,
    /// The sites that have files; they claim hosts.
    pub sites: Option<&'a SiteBook>,
    /// The time that the report bears.
    pub now: Timestamp,
}

/// Builds the report of a scan, finished or not.
pub async fn build(store: &dyn Store, scan: &ScanId, context: &Context<'_>) -> Result<Report, ReportError> {
    let record = store
        .scan(scan)
        .await?
        .ok_or_else(|| ReportError::NoScan(scan.clone()))?;
    let mut findings = Vec::new();
    let mut room = MAX_PICTURES;
    for finding in store.findings(scan).await? {
        let (pages, pages_total) = store.finding_pages(scan, &finding.fingerprint, MAX_PAGES).await?;
        let ticket = store.ticket(&finding.fingerprint).await?;
        let picture = match finding.state {
            FindingState::Suppressed => None,
            _ => store.picture(&finding.fingerprint).await?,
        };
        let picture = picture.filter(|picture| picture.png.len() <= room);
        room -= picture.as_ref().map_or(0, |picture| picture.png.len());
        let way = match pages.first() {
            Some(page) => store.way_to(scan, &page.url).await?,
            None => Vec::new(),
        };
        findings.push(Sighting {
            finding,
            pages,
            pages_total,
            way,
            picture,
            ticket,
        });
    }
    let unseen = missed(store, scan).await?;
    let (gaps, endpoints) = told(store, scan).await?;
    let gathered = Gathered {
        counts: store.counts(scan).await?,
        failed: store.pages(scan, PageState::Failed, u32::MAX).await?,
        skipped: store.pages(scan, PageState::Skipped, u32::MAX).await?,
        gaps,
        endpoints,
        suppressions: store.suppressions().await?,
        gone: gone(store, &record).await?,
        done: store.pages(scan, PageState::Done, u32::MAX).await?,
        looks: store.page_looks(scan).await?,
        hosts: store.seen_hosts(scan).await?,
        standing: standing(store, &record, context.now).await?,
        record,
        findings,
        unseen,
    };
    Ok(assemble(gathered, context))
}

/// The open findings that the scan did not see.
async fn missed(store: &dyn Store, scan: &ScanId) -> Result<Vec<Missed>, ReportError> {
    let mut missed = Vec::new();
    let mut modes: BTreeMap<ScanId, ExploreMode> = BTreeMap::new();
    for finding in store.unseen_findings(scan).await? {
        if !modes.contains_key(&finding.last_scan) {
            let record = store.scan(&finding.last_scan).await?;
            let mode = record.map_or(ExploreMode::Observe, |record| record.site.explore.mode);
            modes.insert(finding.last_scan.clone(), mode);
        }
        missed.push(Missed {
            ticket: store.ticket(&finding.fingerprint).await?,
            mode: modes.get(&finding.last_scan).copied().unwrap_or_default(),
            finding,
        });
    }
    Ok(missed)
}

/// Where a scan stands, in one word.
async fn standing(store: &dyn Store, record: &ScanRecord, now: Timestamp) -> Result<Standing, StoreError> {
    let line = store.scan_line(&record.id).await?;
    Ok(line.map_or_else(
        || Standing::of(record.state, None, record.trigger, false),
        |line| line.standing(now),
    ))
}

/// The pages of a scan that were asked for, whatever they answered.
struct LookedAt<'a> {
    pages: HashSet<&'a PageKey>,
    rules: Option<ScopeRules>,
}

impl<'a> LookedAt<'a> {
    fn of(record: &ScanRecord, done: &'a [PageRow], skipped: &'a [PageRow]) -> Self {
        let skipped = skipped.iter().filter(|row| !is_left_out_reason(reason(row)));
        Self {
            pages: done.iter().chain(skipped).map(|row| &row.key).collect(),
            rules: ScopeRules::new(&record.site.scope).ok(),
        }
    }

    /// Whether all pages that show if a finding is still there were.
    fn whole(&self, finding: &Finding) -> bool {
        let key = |url: &str| {
            let key = page_key(&Url::parse(url).ok()?, self.rules.as_ref()?).ok()?;
            Some(key.0)
        };
        let mut witnesses = finding.past.witnesses.iter();
        witnesses.all(|witness| key(&witness.url).is_some_and(|key| self.pages.contains(&key)))
    }
}

/// The findings that this scan's end proved fixed, or withdrew.
async fn gone(store: &dyn Store, record: &ScanRecord) -> Result<Vec<(Finding, Option<TicketLink>)>, ReportError> {
    let mut gone = Vec::new();
    for finding in store.all_findings(Some(&record.site.id)).await? {
        let at = match finding.state {
            FindingState::Fixed => finding.past.fixed,
            FindingState::Withdrawn => finding.past.withdrawn,
            _ => None,
        };
        if at.is_some() && at == record.ended {
            let ticket = store.ticket(&finding.fingerprint).await?;
            gone.push((finding, ticket));
        }
    }
    Ok(gone)
}

/// Why a page was not used in all ways in which it can be.
const CUT_OFF: &str = "its share of actions or time was used up before all that can be done on it was tried; raise \
                       `explore.actions_per_page` to see more";

/// Why a page was not looked at.
const UNCHANGED: &str = "document, scripts and headers are as they were at the last full look; what was known of these \
                         pages stays, and nothing is proved fixed by them";

fn unchanged_pages(looks: &[PageLook]) -> Vec<UnchangedPage> {
    let unchanged = |look: &PageLook| {
        Some(UnchangedPage {
            url: look.url.clone(),
            looked_at: look.unchanged?,
        })
    };
    looks.iter().filter_map(unchanged).take(MAX_UNCHANGED).collect()
}

/// Gaps, and endpoints.
type Told = (Vec<(String, String)>, Vec<EndpointPart>);

/// What the pages' evidence says they speak to, and could not be captured, with the page's URL. One page is read at a time, so that
/// memory stays flat; pages whose evidence is no longer kept say nothing.
async fn told(store: &dyn Store, scan: &ScanId) -> Result<Told, ReportError> {
    let (mut gaps, mut endpoints) = (Vec::new(), Endpoints::default());
    for page in store.pages(scan, PageState::Done, u32::MAX).await? {
        if let Some(evidence) = store.evidence(scan, &page.key).await? {
            endpoints.add(&page.url, evidence.endpoints);
            gaps.extend(evidence.gaps.into_iter().map(|gap| (gap, page.url.clone())));
            if evidence.explored.is_some_and(|explored| explored.cut_off > 0) {
                gaps.push((CUT_OFF.to_owned(), page.url.clone()));
            }
        }
    }
    Ok((gaps, endpoints.finish()))
}

/// What the store said.
struct Gathered {
    record: ScanRecord,
    standing: Standing,
    counts: ScanCounts,
    findings: Vec<Sighting>,
    unseen: Vec<Missed>,
    suppressions: Vec<Suppression>,
    gone: Vec<(Finding, Option<TicketLink>)>,
    failed: Vec<PageRow>,
    skipped: Vec<PageRow>,
    done: Vec<PageRow>,
    looks: Vec<PageLook>,
    hosts: Vec<SeenHost>,
    gaps: Vec<(String, String)>,
    endpoints: Vec<EndpointPart>,
}

/// A finding that the scan did not see, its ticket, and what the last scan that saw it did on pages.
struct Missed {
    finding: Finding,
    ticket: Option<TicketLink>,
    mode: ExploreMode,
}

/// A finding, where the scan saw it, and its ticket.
pub(super) struct Sighting {
    pub finding: Finding,
    pub pages: Vec<FindingPage>,
    pub pages_total: u64,
    /// The pages that led to the first of them.
    pub way: Vec<String>,
    pub picture: Option<Picture>,
    pub ticket: Option<TicketLink>,
}

fn assemble(gathered: Gathered, context: &Context<'_>) -> Report {
    let pages = PageCounts {
        blocked: blocked(&gathered.done, &gathered.looks),
        unchanged: gathered.looks.iter().filter(|look| look.unchanged.is_some()).count() as u64,
        ..page_counts(gathered.counts)
    };
    let mut not_checked = Groups::default();
    for (kind, rows) in [
        (NotCheckedKind::FailedPages, &gathered.failed),
        (NotCheckedKind::SkippedPages, &gathered.skipped),
    ] {
        for row in rows {
            not_checked.add(kind, reason(row), row.url.clone());
        }
    }
    for look in &gathered.looks {
        if let Some(obstacle) = &look.obstacle {
            not_checked.add(NotCheckedKind::AnsweredInstead, obstacle, look.url.clone());
        }
        if look.unchanged.is_some() {
            not_checked.add(NotCheckedKind::UnchangedPages, UNCHANGED, look.url.clone());
        }
    }
    for (gap, url) in gathered.gaps {
        not_checked.add(NotCheckedKind::PartsOfPages, &gap, url);
    }
    not_checked.add_count(NotCheckedKind::WaitingPages, &why_left(gathered.standing), pages.left);
    for id in &gathered.record.site.disabled_checks {
        not_checked.add(NotCheckedKind::Checks, "disabled in the site's file", id.clone());
    }
    for meta in untried_checks(&gathered.record.site) {
        not_checked.add(NotCheckedKind::Checks, UNEXPLORED, meta.id.to_owned());
    }

    let site = &gathered.record.site;
    let idle_suppressions = suppressed::idle(&gathered.suppressions, &site.id, context.now);
    let Apart {
        mut findings,
        suppressed,
    } = suppressed::apart(gathered.findings, &gathered.suppressions, |sighting| {
        finding_part(sighting, context)
    });
    findings.sort_by(worst_first);
    let looked_at = LookedAt::of(&gathered.record, &gathered.done, &gathered.skipped);
    let mode = gathered.record.site.explore.mode;
    let silent = Silent::of(gathered.unseen, &looked_at, mode, context);
    let verdict = Verdict::of(&Basis {
        state: gathered.record.state,
        standing: gathered.standing,
        pages,
        cut_off: gathered.skipped.iter().any(|row| is_cut_off_reason(reason(row))),
        findings: &findings,
        not_looked_at: &silent.unlooked(),
        not_looked_for: &silent.beyond(),
        mode,
        suppressed: suppressed.len() as u64,
        fail_on: context.fail_on,
    });
    let mut counts = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.severity).or_default() += 1;
    }

    Report {
        schema: SCHEMA.to_owned(),
        tool: Tool {
            name: "phantom-gang".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        generated: context.now,
        verdict,
        counts,
        findings,
        suppressed,
        idle_suppressions,
        gone: gathered
            .gone
            .into_iter()
            .map(|(finding, ticket)| unseen_part(finding, ticket, context))
            .collect(),
        not_observed: silent.all,
        not_checked: not_checked.finish(),
        blocked_share: pages.blocked_share(),
        unclaimed_hosts: unclaimed(gathered.hosts, context.sites),
        endpoints: gathered.endpoints,
        unchanged_pages: unchanged_pages(&gathered.looks),
        failed_pages: gathered
            .failed
            .iter()
            .take(MAX_FAILED as usize)
            .map(failed_page)
            .collect(),
        checks: checks_run(&gathered.record.site),
        scan: scan_part(gathered.record, pages),
    }
}

/// Open findings that the scan did not see, and why that says nothing, where it does not.
struct Silent {
    all: Vec<Unseen>,
    /// Places of those whose pages were not looked at.
    unlooked: Vec<usize>,
    /// Places of those that were seen by doing more on pages, and in which mode.
    beyond: Vec<(usize, ExploreMode)>,
}

impl Silent {
    fn of(unseen: Vec<Missed>, looked_at: &LookedAt<'_>, mode: ExploreMode, context: &Context<'_>) -> Self {
        let (mut all, mut unlooked, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
        for Missed {
            finding,
            ticket,
            mode: saw,
        } in unseen
        {
            if !finding.third_party && !looked_at.whole(&finding) {
                unlooked.push(all.len());
            } else if !finding.third_party && saw > mode {
                beyond.push((all.len(), saw));
            }
            all.push(unseen_part(finding, ticket, context));
        }
        Self { all, unlooked, beyond }
    }

    fn unlooked(&self) -> Vec<&Unseen> {
        self.unlooked.iter().filter_map(|at| self.all.get(*at)).collect()
    }

    fn beyond(&self) -> Vec<(&Unseen, ExploreMode)> {
        let each = self.beyond.iter();
        each.filter_map(|(at, mode)| Some((self.all.get(*at)?, *mode)))
            .collect()
    }
}

pub(super) fn worst_first(a: &FindingPart, b: &FindingPart) -> Ordering {
    (b.severity, b.confidence)
        .cmp(&(a.severity, a.confidence))
        .then_with(|| (&a.check, &a.title).cmp(&(&b.check, &b.title)))
}

fn page_counts(counts: ScanCounts) -> PageCounts {
    PageCounts {
        known: counts.known(),
        done: counts.done,
        failed: counts.failed,
        skipped: counts.skipped,
        left: counts.waiting + counts.leased,
        blocked: 0,
        unchanged: 0,
    }
}

/// How many pages something answered for that keeps the scanner out, those that were redirected to it included.
fn blocked(done: &[PageRow], looks: &[PageLook]) -> u64 {
    let blocks = |look: &&PageLook| {
        look.obstacle
            .as_deref()
            .and_then(Obstacle::named)
            .is_some_and(Obstacle::blocks)
    };
    let walls: HashSet<&str> = looks.iter().filter(blocks).map(|look| look.url.as_str()).collect();
    let keys: HashSet<&str> = done
        .iter()
        .filter(|row| walls.contains(row.url.as_str()))
        .map(|row| row.key.0.as_str())
        .collect();
    let blocked = |row: &&PageRow| {
        let to = row.redirected_to.as_deref().unwrap_or(&row.key.0);
        keys.contains(to)
    };
    done.iter().filter(blocked).count() as u64
}

fn unclaimed(hosts: Vec<SeenHost>, sites: Option<&SiteBook>) -> Vec<UnclaimedHost> {
    let unclaimed = hosts
        .into_iter()
        .filter(|seen| !sites.is_some_and(|sites| sites.claims_host(&seen.host)));
    unclaimed
        .map(|seen| UnclaimedHost {
            host: seen.host,
            seen_on: seen.page,
        })
        .collect()
}

fn why_left(standing: Standing) -> String {
    match standing {
        Standing::Complete | Standing::Incomplete => "the scan ended before their turn".to_owned(),
        Standing::Interrupted | Standing::Stopped | Standing::Paused => format!("the scan was {standing}"),
        standing => format!("the scan was still {standing}"),
    }
}

fn reason(row: &PageRow) -> &str {
    row.reason.as_deref().unwrap_or("no reason was recorded")
}

fn failed_page(row: &PageRow) -> FailedPage {
    FailedPage {
        url: row.url.clone(),
        reason: reason(row).to_owned(),
    }
}

/// The checks that a site's file does not disable and that look at explored pages only, if the site's were not.
fn untried_checks(site: &Site) -> impl Iterator<Item = &'static Meta> {
    let observed = site.explore.mode == ExploreMode::Observe;
    let checks = phantom_checks::all().iter();
    checks
        .filter(move |check| observed && check.marks_address())
        .map(|check| check.meta())
        .filter(|meta| !site.disabled_checks.iter().any(|id| id == meta.id))
}

fn checks_run(site: &Site) -> Vec<CheckRun> {
    let untried: Vec<&str> = untried_checks(site).map(|meta| meta.id).collect();
    phantom_checks::all()
        .iter()
        .map(|check| check.meta())
        .filter(|meta| !site.disabled_checks.iter().any(|id| id == meta.id) && !untried.contains(&meta.id))
        .map(|meta| CheckRun {
            id: meta.id.to_owned(),
            version: meta.version,
            title: meta.title.to_owned(),
        })
        .collect()
}

fn scan_part(record: ScanRecord, pages: PageCounts) -> ScanPart {
    ScanPart {
        id: record.id,
        site: record.site.id,
        title: record.site.title,
        owner: record.site.owner,
        approved_by: record.site.approved_by,
        start: record.site.start.iter().map(Url::to_string).collect(),
        state: record.state,
        trigger: record.trigger,
        started: record.started,
        ended: record.ended,
        pages,
        remarks: record.remarks,
    }
}

fn finding_part(sighting: Sighting, context: &Context<'_>) -> FindingPart {
    let Sighting {
        finding,
        pages,
        pages_total,
        way,
        picture,
        ticket,
    } = sighting;
    let steps = steps(&finding, &pages, &way, ticket.as_ref());
    let meta = phantom_checks::by_id(&finding.check).map(phantom_checks::Check::meta);
    let docs = meta.map(phantom_checks::Meta::docs);
    let text = |heading| docs.as_ref().map_or("", |docs| docs.section(heading)).to_owned();
    FindingPart {
        cwe: meta.map(|meta| meta.cwe),
        why: text("Why it matters"),
        fix: text("How to fix"),
        ticket: ticket.map(|link| ticket_part(link, context.browse_url)),
        check: finding.check,
        check_version: finding.check_version,
        fingerprint: finding.fingerprint,
        title: finding.title,
        severity: finding.severity,
        confidence: finding.confidence,
        state: finding.state,
        third_party: finding.third_party,
        cause: finding.cause,
        facts: finding.facts,
        pages,
        pages_total,
        steps,
        picture: picture.map(|picture| PicturePart {
            name: picture.name(),
            taken: picture.taken,
            width: picture.width,
            height: picture.height,
            png: STANDARD.encode(&picture.png),
        }),
        first_seen: finding.first_seen,
        last_seen: finding.last_seen,
    }
}

/// How a person gets to see a finding on the first of its pages.
fn steps(finding: &Finding, pages: &[FindingPage], way: &[String], ticket: Option<&TicketLink>) -> Vec<Instruction> {
    let first = pages.first();
    let seen_there = first.map(|page| &page.facts).filter(|facts| !facts.is_empty());
    reproduce(&Trail {
        check: &finding.check,
        cause: &finding.cause,
        facts: seen_there.unwrap_or(&finding.facts),
        page: first.map(|page| page.url.as_str()),
        way,
        name: ticket.map_or(finding.fingerprint.short(), |ticket| &ticket.issue_key),
    })
}

fn unseen_part(finding: Finding, ticket: Option<TicketLink>, context: &Context<'_>) -> Unseen {
    Unseen {
        check: finding.check,
        fingerprint: finding.fingerprint,
        title: finding.title,
        severity: finding.severity,
        state: finding.state,
        last_seen: finding.last_seen,
        ticket: ticket.map(|link| ticket_part(link, context.browse_url)),
    }
}

pub(super) fn ticket_part(link: TicketLink, browse_url: Option<&Url>) -> TicketPart {
    let url = browse_url.and_then(|base| {
        let mut url = base.clone();
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(["browse", &link.issue_key]);
        Some(url.into())
    });
    TicketPart {
        key: link.issue_key,
        url,
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
