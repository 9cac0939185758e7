//! Findings, where they were seen, and the wishes for their tickets.

use std::collections::HashMap;

use jiff::Timestamp;
use phantom_checks::Observation;
use sqlx::SqliteConnection;

use super::super::codec::{json, time, unjson, unsigned, unword};
use super::{Result, SqliteStore};
use crate::scan::ScanId;
use crate::site::SiteId;
use crate::triage::{Finding, FindingPage, Fingerprint, Sighting};

/// Findings by fingerprint, and whether a scan has seen them.
pub(super) const KNOWN: &str = "SELECT f.*, n.fingerprint IS NOT NULL AS in_scan FROM json_each(?1) j \
     JOIN findings f ON f.fingerprint = j.value \
     LEFT JOIN scan_findings n ON n.scan = ?2 AND n.fingerprint = f.fingerprint";

pub(super) const SAVE: &str = "INSERT INTO findings (fingerprint, site, check_id, check_version, title, severity, \
         confidence, state, cause, facts, third_party, first_seen, last_seen, first_scan, last_scan) \
     SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6, \
         j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, j.value ->> 11, j.value ->> 12, j.value ->> 13, \
         j.value ->> 14 \
     FROM json_each(?1) j WHERE true ON CONFLICT (fingerprint) DO UPDATE SET \
         check_version = excluded.check_version, title = excluded.title, severity = excluded.severity, \
         confidence = excluded.confidence, state = excluded.state, cause = excluded.cause, facts = excluded.facts, \
         third_party = excluded.third_party, last_seen = excluded.last_seen, last_scan = excluded.last_scan";

pub(super) const SAVE_PAGES: &str = "INSERT INTO finding_pages (scan, fingerprint, page, facts) \
     SELECT ?1, j.value ->> 0, ?2, j.value ->> 1 FROM json_each(?3) j \
     WHERE true ON CONFLICT (scan, fingerprint, page) DO UPDATE SET facts = excluded.facts";

/// The number of a finding's pages is set once the page is in: one more, unless the page had it already.
pub(super) const COUNT_PAGES: &str = "INSERT INTO scan_findings (scan, fingerprint, pages) \
     SELECT ?1, j.value ->> 0, 1 FROM json_each(?3) j WHERE NOT EXISTS ( \
         SELECT 1 FROM finding_pages p WHERE p.scan = ?1 AND p.fingerprint = j.value ->> 0 AND p.page = ?2) \
     ON CONFLICT (scan, fingerprint) DO UPDATE SET pages = pages + 1";

pub(super) const WISH: &str = "INSERT INTO intents (fingerprint, revision, due, attempts) \
     SELECT j.value, 1, ?2, 0 FROM json_each(?1) j \
     WHERE true ON CONFLICT (fingerprint) DO UPDATE SET revision = revision + 1, due = excluded.due";

pub(super) const OF_SCAN: &str = "SELECT f.*, 1 AS in_scan FROM scans s JOIN scan_findings n ON n.scan = s.seq \
     JOIN findings f ON f.fingerprint = n.fingerprint WHERE s.id = ?1";

pub(super) const UNSEEN: &str = "SELECT f.*, 0 AS in_scan FROM scans s JOIN findings f ON f.site = s.site \
     WHERE s.id = ?1 AND NOT EXISTS ( \
         SELECT 1 FROM scan_findings n WHERE n.scan = s.seq AND n.fingerprint = f.fingerprint)";

pub(super) const PAGES: &str = "SELECT p.url, f.facts FROM scans s \
     JOIN finding_pages f ON f.scan = s.seq JOIN pages p ON p.id = f.page \
     WHERE s.id = ?1 AND f.fingerprint = ?2 ORDER BY p.url LIMIT ?3";

pub(super) const PAGE_COUNT: &str = "SELECT n.pages FROM scans s JOIN scan_findings n ON n.scan = s.seq \
     WHERE s.id = ?1 AND n.fingerprint = ?2";

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
            title: self.title,
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
        })
    }
}

/// Where and when something was observed.
pub(super) struct Place<'a> {
    pub site: &'a SiteId,
    pub scan: &'a ScanId,
    pub scan_seq: i64,
    pub page: i64,
    pub now: Timestamp,
}

/// Records the observations of one page: findings, the page under each of them, and wishes where a ticket may have to
/// follow.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    place: &Place<'_>,
    observations: &[Observation],
) -> Result<()> {
    let sightings = Sighting::all_of(place.site, observations);
    if sightings.is_empty() {
        return Ok(());
    }
    let mut known = known(connection, place, &sightings).await?;
    let mut findings = Vec::with_capacity(sightings.len());
    let mut pages = Vec::with_capacity(sightings.len());
    let mut wishes = Vec::new();
    for sighting in sightings {
        let fingerprint = sighting.fingerprint.clone();
        pages.push((fingerprint.0.clone(), json(&sighting.facts)?));
        let (finding, wish) = match known.remove(&fingerprint) {
            Some((mut finding, in_scan)) => {
                let wish = finding.see(place.scan, sighting, !in_scan, place.now);
                (finding, wish)
            }
            None => (Finding::new(place.site, place.scan, sighting, place.now), true),
        };
        if wish {
            wishes.push(fingerprint.0);
        }
        findings.push(finding);
    }
    save(connection, &findings).await?;
    let pages = json(&pages)?;
    for statement in [COUNT_PAGES, SAVE_PAGES] {
        sqlx::query(statement)
            .bind(place.scan_seq)
            .bind(place.page)
            .bind(&pages)
            .execute(&mut *connection)
            .await?;
    }
    if !wishes.is_empty() {
        sqlx::query(WISH)
            .bind(json(&wishes)?)
            .bind(place.now.as_millisecond())
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn known(
    connection: &mut SqliteConnection,
    place: &Place<'_>,
    sightings: &[Sighting],
) -> Result<HashMap<Fingerprint, (Finding, bool)>> {
    let fingerprints: Vec<&Fingerprint> = sightings.iter().map(|sighting| &sighting.fingerprint).collect();
    let rows: Vec<FindingRow> = sqlx::query_as(KNOWN)
        .bind(json(&fingerprints)?)
        .bind(place.scan_seq)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| {
            let in_scan = row.in_scan;
            let finding = row.finding()?;
            Ok((finding.fingerprint.clone(), (finding, in_scan)))
        })
        .collect()
}

async fn save(connection: &mut SqliteConnection, findings: &[Finding]) -> Result<()> {
    let rows = findings
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
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    sqlx::query(SAVE).bind(json(&rows)?).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_scan(store: &SqliteStore, scan: &ScanId) -> Result<Vec<Finding>> {
    let rows: Vec<FindingRow> = sqlx::query_as(OF_SCAN).bind(&scan.0).fetch_all(&store.readers).await?;
    let mut findings: Vec<Finding> = rows.into_iter().map(FindingRow::finding).collect::<Result<_>>()?;
    worst_first(&mut findings);
    Ok(findings)
}

pub(super) async fn unseen(store: &SqliteStore, scan: &ScanId) -> Result<Vec<Finding>> {
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

pub(super) async fn one(store: &SqliteStore, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
    sqlx::query_as::<_, FindingRow>("SELECT f.*, 0 AS in_scan FROM findings f WHERE f.fingerprint = ?1")
        .bind(&fingerprint.0)
        .fetch_optional(&store.readers)
        .await?
        .map(FindingRow::finding)
        .transpose()
}

pub(super) async fn pages(
    store: &SqliteStore,
    scan: &ScanId,
    fingerprint: &Fingerprint,
    limit: u32,
) -> Result<(Vec<FindingPage>, u64)> {
    // One snapshot for both queries, so that the number fits the list.
    let mut tx = store.readers.begin().await?;
    let count: Option<i64> = sqlx::query_scalar(PAGE_COUNT)
        .bind(&scan.0)
        .bind(&fingerprint.0)
        .fetch_optional(&mut *tx)
        .await?;
    let rows: Vec<(String, String)> = sqlx::query_as(PAGES)
        .bind(&scan.0)
        .bind(&fingerprint.0)
        .bind(limit)
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
