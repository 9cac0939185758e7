//! Findings, where they were seen, and the wishes for their tickets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use phantom_checks::Observation;

use super::codec::{json, time, unjson, unsigned, unword};
pub(in super::super) use super::dialect::findings::{COUNT_PAGES, KNOWN, SAVE, SAVE_PAGES, WISH};
use super::triage::{Change, tell};
use super::{Backend, Connection, Result, aliases, outward, rows, suppressions};
use crate::scan::ScanId;
use crate::site::SiteId;
use crate::triage::{Finding, FindingPage, FindingState, Fingerprint, Seen, Sighting, Suppressions};

pub(in super::super) const OF_SCAN: &str = concat!(
    "SELECT ",
    columns_of_finding!(),
    ", true AS in_scan FROM scans s JOIN scan_findings n ON n.scan = s.seq \
     JOIN findings f ON f.fingerprint = n.fingerprint WHERE s.id = $1"
);

pub(in super::super) const UNSEEN: &str = concat!(
    "SELECT ",
    columns_of_finding!(),
    ", false AS in_scan FROM scans s JOIN findings f ON f.site = s.site \
     WHERE s.id = $1 AND NOT EXISTS ( \
         SELECT 1 FROM scan_findings n WHERE n.scan = s.seq AND n.fingerprint = f.fingerprint)"
);

pub(in super::super) const ONE: &str = concat!(
    "SELECT ",
    columns_of_finding!(),
    ", false AS in_scan FROM findings f WHERE f.fingerprint = $1"
);

pub(in super::super) const OF_SITE: &str = concat!(
    "SELECT ",
    columns_of_finding!(),
    ", false AS in_scan FROM findings f WHERE f.site = $1"
);

const ALL: &str = concat!("SELECT ", columns_of_finding!(), ", false AS in_scan FROM findings f");

pub(in super::super) const URLS: &str = "SELECT p.url FROM scans s \
     JOIN finding_pages f ON f.scan = s.seq JOIN pages p ON p.id = f.page WHERE s.id = $1 AND f.fingerprint = $2";

pub(in super::super) const PAGES: &str = "SELECT p.url, f.facts FROM scans s \
     JOIN finding_pages f ON f.scan = s.seq JOIN pages p ON p.id = f.page \
     WHERE s.id = $1 AND f.fingerprint = $2 ORDER BY p.url LIMIT $3";

pub(in super::super) const PAGE_COUNT: &str = "SELECT n.pages FROM scans s JOIN scan_findings n ON n.scan = s.seq \
     WHERE s.id = $1 AND n.fingerprint = $2";

#[derive(sqlx::FromRow)]
struct FindingRow {
    fingerprint: String,
    site: String,
    check_id: String,
    check_version: i64,
    title: String,
    severity: String,
    confidence: String,
    state: String,
    cause: String,
    facts: String,
    third_party: bool,
    first_seen: i64,
    last_seen: i64,
    first_scan: String,
    last_scan: String,
    past: String,
    in_scan: bool,
}

impl FindingRow {
    fn finding(self) -> Result<Finding> {
        let place = format!("finding {}", self.fingerprint);
        Ok(Finding {
            fingerprint: Fingerprint(self.fingerprint),
            site: SiteId(self.site),
            check: self.check_id,
            check_version: unsigned(self.check_version, &place)?,
            title: outward(self.title),
            severity: unword(&self.severity)?,
            confidence: unword(&self.confidence)?,
            state: unword(&self.state)?,
            cause: unjson(&self.cause, &place)?,
            facts: unjson(&self.facts, &place)?,
            third_party: self.third_party,
            first_seen: time(self.first_seen)?,
            last_seen: time(self.last_seen)?,
            first_scan: ScanId(self.first_scan),
            last_scan: ScanId(self.last_scan),
            past: unjson(&self.past, &place)?,
        })
    }
}

/// Where and when something was observed.
pub(super) struct Place<'a> {
    pub store: &'a Backend,
    pub site: &'a SiteId,
    pub scan: &'a ScanId,
    pub scan_seq: i64,
    pub page: i64,
    pub url: &'a str,
    pub now: Timestamp,
}

/// Records the observations of one page: findings, the page under each of them, what became of their states, and
/// wishes where a ticket may have to follow.
pub(super) async fn record(connection: &mut Connection, place: &Place<'_>, observations: &[Observation]) -> Result<()> {
    let sightings = Sighting::all_of(place.site, observations);
    if sightings.is_empty() {
        return Ok(());
    }
    let fingerprints: Vec<&Fingerprint> = sightings.iter().map(|sighting| &sighting.fingerprint).collect();
    let mut known = known_of(connection, place, &fingerprints).await?;
    let unknown = sightings
        .iter()
        .filter(|sighting| !known.contains_key(&sighting.fingerprint));
    let adopted = aliases::adopt(connection, place, unknown).await?;
    if adopted.any {
        known = known_of(connection, place, &fingerprints).await?;
    }
    let suppressions = suppressions::of(connection, &fingerprints).await?;
    let mut pages = Vec::with_capacity(sightings.len());
    for sighting in &sightings {
        pages.push((&sighting.fingerprint.0, json(&sighting.facts)?));
    }
    let pages = rows(&pages)?;
    let mut seen = take_in(place, sightings, known, &suppressions);
    for finding in &mut seen.findings {
        if let Some(parent) = adopted.parents.get(&finding.fingerprint) {
            finding.past.parent = Some(parent.clone());
        }
    }
    save(connection, &seen.findings).await?;
    save_pages(connection, place, &pages).await?;
    tell(connection, &seen.changes, Some(place.scan), place.now).await?;
    suppressions::matched(connection, &seen.matched, place.now).await?;
    let wishes: Vec<_> = seen.wishes.iter().collect();
    wish(place.store, connection, &wishes, place.now).await
}

/// Records that a scan which only looks saw findings on a page. The findings stay as they are, and what is not known
/// stays unknown. What was seen under a newer definition of a cause counts for the finding that it was before.
pub(super) async fn note(connection: &mut Connection, place: &Place<'_>, observations: &[Observation]) -> Result<()> {
    let sightings = Sighting::all_of(place.site, observations);
    let names = |sighting: &Sighting| {
        let own = std::iter::once(sighting.fingerprint.clone());
        own.chain(sighting.aliases.iter().cloned()).collect::<Vec<_>>()
    };
    let asked: Vec<Fingerprint> = sightings.iter().flat_map(names).collect();
    let known = known_of(connection, place, &asked.iter().collect::<Vec<_>>()).await?;
    let mut pages = BTreeMap::new();
    for sighting in &sightings {
        if let Some(name) = names(sighting).into_iter().find(|name| known.contains_key(name)) {
            pages.insert(name.0, json(&sighting.facts)?);
        }
    }
    save_pages(connection, place, &rows(&pages.into_iter().collect::<Vec<_>>())?).await
}

/// Records under which findings a page is: pairs of fingerprint and facts, as JSON.
async fn save_pages(connection: &mut Connection, place: &Place<'_>, pages: &str) -> Result<()> {
    for statement in [COUNT_PAGES, SAVE_PAGES] {
        sqlx::query(statement)
            .bind(place.scan_seq)
            .bind(place.page)
            .bind(pages)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What the sightings of one page come to.
#[derive(Default)]
struct TakenIn {
    findings: Vec<Finding>,
    changes: Vec<Change>,
    wishes: Vec<Fingerprint>,
    matched: BTreeSet<String>,
}

fn take_in(
    place: &Place<'_>,
    sightings: Vec<Sighting>,
    mut known: HashMap<Fingerprint, (Finding, bool)>,
    suppressions: &Suppressions,
) -> TakenIn {
    let mut taken = TakenIn::default();
    for sighting in sightings {
        let covering = suppressions.on_page(&sighting.subject(place.site), place.url, place.now);
        let covering = covering.map(|suppression| suppression.id.clone());
        let seen = Seen {
            scan: place.scan,
            url: place.url,
            now: place.now,
            suppressed_by: covering.as_deref(),
        };
        let (from, first, finding, wish) = if let Some((mut finding, in_scan)) = known.remove(&sighting.fingerprint) {
            let from = finding.state;
            let wish = finding.see(sighting, &seen, !in_scan);
            (Some(from), !in_scan, finding, wish)
        } else {
            let finding = Finding::new(place.site, sighting, &seen);
            let wish = finding.state != FindingState::Suppressed;
            (None, true, finding, wish)
        };
        if wish {
            taken.wishes.push(finding.fingerprint.clone());
        }
        if first && let Some(id) = &finding.past.suppressed_by {
            taken.matched.insert(id.clone());
        }
        if from != Some(finding.state) {
            taken.changes.push(Change {
                fingerprint: finding.fingerprint.clone(),
                from,
                to: finding.state,
                why: why(from, &finding, place.url),
            });
        }
        taken.findings.push(finding);
    }
    taken
}

fn why(from: Option<FindingState>, finding: &Finding, url: &str) -> String {
    match (from, finding.state) {
        (_, FindingState::Suppressed) => {
            let id = finding
                .past
                .suppressed_by
                .as_deref()
                .unwrap_or("an unknown suppression");
            format!("seen on {url}, suppressed by {id}")
        }
        (Some(FindingState::Suppressed), _) => format!("seen on {url}, where no suppression covers it"),
        (None, _) => format!("first seen on {url}"),
        (Some(FindingState::Fixed), _) => format!("seen again on {url}"),
        _ => format!("seen on {url}"),
    }
}

/// Wishes for the tickets of findings. They are due at once, for workers with other clocks, too.
pub(super) async fn wish(
    store: &Backend,
    connection: &mut Connection,
    of: &[&Fingerprint],
    now: Timestamp,
) -> Result<()> {
    if !of.is_empty() {
        sqlx::query(WISH)
            .bind(rows(of)?)
            .bind(store.there(now))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn known_of(
    connection: &mut Connection,
    place: &Place<'_>,
    fingerprints: &[&Fingerprint],
) -> Result<HashMap<Fingerprint, (Finding, bool)>> {
    let found: Vec<FindingRow> = sqlx::query_as(KNOWN)
        .bind(rows(fingerprints)?)
        .bind(place.scan_seq)
        .fetch_all(connection)
        .await?;
    found
        .into_iter()
        .map(|row| {
            let in_scan = row.in_scan;
            let finding = row.finding()?;
            Ok((finding.fingerprint.clone(), (finding, in_scan)))
        })
        .collect()
}

pub(super) async fn save(connection: &mut Connection, findings: &[Finding]) -> Result<()> {
    let all = findings
        .iter()
        .map(|finding| {
            Ok((
                &finding.fingerprint,
                &finding.site,
                &finding.check,
                finding.check_version,
                &finding.title,
                finding.severity,
                finding.confidence,
                finding.state,
                json(&finding.cause)?,
                json(&finding.facts)?,
                i64::from(finding.third_party),
                finding.first_seen.as_millisecond(),
                finding.last_seen.as_millisecond(),
                &finding.first_scan,
                &finding.last_scan,
                json(&finding.past)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    sqlx::query(SAVE).bind(rows(&all)?).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_scan(store: &Backend, scan: &ScanId) -> Result<Vec<Finding>> {
    let rows: Vec<FindingRow> = sqlx::query_as(OF_SCAN).bind(&scan.0).fetch_all(&store.readers).await?;
    let mut findings: Vec<Finding> = rows.into_iter().map(FindingRow::finding).collect::<Result<_>>()?;
    worst_first(&mut findings);
    Ok(findings)
}

pub(super) async fn unseen(store: &Backend, scan: &ScanId) -> Result<Vec<Finding>> {
    let rows: Vec<FindingRow> = sqlx::query_as(UNSEEN).bind(&scan.0).fetch_all(&store.readers).await?;
    let mut findings: Vec<Finding> = rows.into_iter().map(FindingRow::finding).collect::<Result<_>>()?;
    findings.retain(|finding| finding.state.is_open());
    worst_first(&mut findings);
    Ok(findings)
}

/// Worst first, then by check, then by title; the fingerprint makes the order one and the same every time.
fn worst_first(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.check, &a.title, &a.fingerprint).cmp(&(&b.check, &b.title, &b.fingerprint)))
    });
}

pub(super) async fn one(store: &Backend, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
    one_in(&mut *store.readers.acquire().await?, fingerprint).await
}

/// One finding, as a transaction sees it.
pub(super) async fn one_in(connection: &mut Connection, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
    sqlx::query_as::<_, FindingRow>(ONE)
        .bind(&fingerprint.0)
        .fetch_optional(connection)
        .await?
        .map(FindingRow::finding)
        .transpose()
}

pub(super) async fn all(store: &Backend, site: Option<&SiteId>) -> Result<Vec<Finding>> {
    let mut findings = all_in(&mut *store.readers.acquire().await?, site).await?;
    worst_first(&mut findings);
    Ok(findings)
}

/// All findings, of one site or of any, as a transaction sees them.
pub(super) async fn all_in(connection: &mut Connection, site: Option<&SiteId>) -> Result<Vec<Finding>> {
    let query = match site {
        Some(site) => sqlx::query_as::<_, FindingRow>(OF_SITE).bind(&site.0),
        None => sqlx::query_as::<_, FindingRow>(ALL),
    };
    let rows = query.fetch_all(connection).await?;
    rows.into_iter().map(FindingRow::finding).collect()
}

/// The pages on which a scan saw a finding, as a transaction sees them.
pub(super) async fn urls_in(
    connection: &mut Connection,
    scan: &ScanId,
    fingerprint: &Fingerprint,
) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(URLS)
        .bind(&scan.0)
        .bind(&fingerprint.0)
        .fetch_all(connection)
        .await?)
}

pub(super) async fn pages(
    store: &Backend,
    scan: &ScanId,
    fingerprint: &Fingerprint,
    limit: u32,
) -> Result<(Vec<FindingPage>, u64)> {
    // One snapshot for both queries, so that the number fits the list.
    let mut tx = store.snapshot().await?;
    let count: Option<i64> = sqlx::query_scalar(PAGE_COUNT)
        .bind(&scan.0)
        .bind(&fingerprint.0)
        .fetch_optional(&mut *tx)
        .await?;
    let rows: Vec<(String, String)> = sqlx::query_as(PAGES)
        .bind(&scan.0)
        .bind(&fingerprint.0)
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    let pages = rows
        .into_iter()
        .map(|(url, facts)| {
            let facts = unjson(&facts, &format!("what was seen on {url}"))?;
            Ok(FindingPage { url, facts })
        })
        .collect::<Result<_>>()?;
    Ok((pages, unsigned(count.unwrap_or(0), "the number of a finding's pages")?))
}
