//! Recording what came of a page, in one transaction.

use std::collections::BTreeSet;

use super::codec::{json, pack, unword};
pub(in super::super) use super::dialect::complete::{HELD_BODIES, NAME_BODIES, NAME_HOSTS};
use super::{Backend, Connection, Result, findings, frontier, inward, lock_scan, outward, rows, tell_of_pages};
use crate::crawl::{Completion, Lease, NewPage, PageOutcome};
use crate::scan::Trigger;
use crate::site::SiteId;

pub(in super::super) const HELD: &str = "SELECT p.id, p.scan, s.site, s.trigger FROM scans s JOIN pages p ON p.scan = s.seq \
     WHERE s.id = $1 AND p.key = $2 AND p.token = $3 AND p.state IN ('leased', 'waiting')";

pub(in super::super) const CLOSE: &str = "UPDATE pages SET state = $2, reason = $3, redirected_to = $4, \
     token = NULL, owner = NULL, lease_until = NULL WHERE id = $1";

pub(in super::super) const KNOWN: &str = "SELECT id, state FROM pages WHERE scan = $1 AND key = $2";

pub(in super::super) const KEEP_EVIDENCE: &str = "INSERT INTO evidence (page, scan, stored, data) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (page) DO UPDATE SET stored = excluded.stored, data = excluded.data";

pub(in super::super) const DESCRIBE: &str = "UPDATE pages SET status = $2, complete = $3, forms = $4, failed_checks = $5, \
     obstacle = $6, logged_in = $7 WHERE id = $1";

const MARK: &str = "UPDATE pages SET looked_at = $2, basis = $3, unchanged = $4 WHERE id = $1";

/// What takes time and needs no lock: compressed evidence and script texts.
struct Packed {
    evidence: Option<Vec<u8>>,
    bodies: Vec<(String, Vec<u8>)>,
    /// Hashes that the evidence names or that came with a text.
    named: BTreeSet<String>,
}

impl Packed {
    async fn of(store: &Backend, completion: &Completion<'_>) -> Result<Self> {
        let Some(evidence) = completion.evidence else {
            return Ok(Self {
                evidence: None,
                bodies: Vec::new(),
                named: BTreeSet::new(),
            });
        };
        let hashes: Vec<&String> = completion.bodies.keys().collect();
        let held: BTreeSet<String> = if hashes.is_empty() {
            BTreeSet::new()
        } else {
            sqlx::query_scalar(HELD_BODIES)
                .bind(&completion.lease.scan.0)
                .bind(rows(&hashes)?)
                .fetch_all(&store.readers)
                .await?
                .into_iter()
                .map(outward)
                .collect()
        };
        let bodies = completion.bodies.iter().filter(|(hash, _)| !held.contains(*hash));
        let named = evidence.scripts.iter().filter_map(|script| script.hash.clone());
        Ok(Self {
            evidence: Some(pack(json(evidence)?.as_bytes())?),
            bodies: bodies
                .map(|(hash, text)| Ok((hash.clone(), pack(text.as_bytes())?)))
                .collect::<Result<_>>()?,
            named: named.chain(completion.bodies.keys().cloned()).collect(),
        })
    }
}

pub(super) async fn complete(store: &Backend, completion: &Completion<'_>) -> Result<bool> {
    let packed = Packed::of(store, completion).await?;
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, &completion.lease.scan).await?;
    let Some((page, scan, site, trigger)) = held(&mut tx, completion.lease).await? else {
        return Ok(false);
    };
    let (state, reason) = match &completion.outcome {
        PageOutcome::Done | PageOutcome::Redirected => ("done", None),
        PageOutcome::Failed(reason) => ("failed", Some(reason)),
        PageOutcome::Skipped(reason) => ("skipped", Some(reason)),
    };
    let target = completion
        .recorded_as
        .as_ref()
        .filter(|target| target.key != completion.lease.key);
    sqlx::query(CLOSE)
        .bind(page)
        .bind(state)
        .bind(reason.map(|reason| inward(reason)))
        .bind(target.map(|target| &target.key.0))
        .execute(&mut *tx)
        .await?;
    let subject = match target {
        // What was not looked at says nothing of where it led to.
        Some(target) if state == "done" => adopt(&mut tx, scan, target).await?,
        _ => Some(page),
    };
    if let Some(subject) = subject {
        keep(&mut tx, scan, subject, &packed, completion).await?;
        let place = findings::Place {
            store,
            site: &SiteId(site),
            scan: &completion.lease.scan,
            scan_seq: scan,
            page: subject,
            url: target.map_or(&completion.lease.url, |target| &target.url).as_str(),
            now: completion.now,
        };
        if unword::<Trigger>(&trigger)?.is_look() {
            findings::note(&mut tx, &place, completion.observations).await?;
        } else {
            findings::record(&mut tx, &place, completion.observations).await?;
        }
    }
    if frontier::insert(&mut tx, scan, completion.found).await? > 0 {
        tell_of_pages(&mut tx, &completion.lease.scan).await?;
    }
    if !completion.hosts.is_empty() {
        sqlx::query(NAME_HOSTS)
            .bind(scan)
            .bind(rows(&completion.hosts)?)
            .bind(completion.lease.url.as_str())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// The page of a lease, its scan, site and trigger, if the lease still stands or nobody has taken the page over since.
async fn held(connection: &mut Connection, lease: &Lease) -> Result<Option<(i64, i64, String, String)>> {
    Ok(sqlx::query_as(HELD)
        .bind(&lease.scan.0)
        .bind(&lease.key.0)
        .bind(&lease.token)
        .fetch_optional(connection)
        .await?)
}

/// The page that a redirect led to, now done; `None` if somebody has looked or is looking at it, or it must not be.
async fn adopt(connection: &mut Connection, scan: i64, target: &NewPage) -> Result<Option<i64>> {
    frontier::insert(connection, scan, std::slice::from_ref(target)).await?;
    let (id, state): (i64, String) = sqlx::query_as(KNOWN)
        .bind(scan)
        .bind(&target.key.0)
        .fetch_one(&mut *connection)
        .await?;
    if target.skip.is_some() || matches!(state.as_str(), "done" | "leased") {
        return Ok(None);
    }
    sqlx::query(CLOSE)
        .bind(id)
        .bind("done")
        .bind(None::<&str>)
        .bind(None::<&str>)
        .execute(connection)
        .await?;
    Ok(Some(id))
}

/// Evidence of a page, the script texts that it names, and that it names them.
async fn keep(
    connection: &mut Connection,
    scan: i64,
    page: i64,
    packed: &Packed,
    completion: &Completion<'_>,
) -> Result<()> {
    let (Some(evidence), Some(seen)) = (&packed.evidence, completion.evidence) else {
        return Ok(());
    };
    let failed = completion.failed_checks;
    sqlx::query(DESCRIBE)
        .bind(page)
        .bind(seen.page.status.map(i64::from))
        .bind(seen.gaps.is_empty() && !seen.page.cut_short && seen.page.broken_off.is_none())
        .bind(i64::try_from(seen.forms.len()).unwrap_or(i64::MAX))
        .bind(if failed.is_empty() { None } else { Some(json(failed)?) })
        .bind(completion.obstacle)
        .bind(seen.page.logged_in)
        .execute(&mut *connection)
        .await?;
    sqlx::query(KEEP_EVIDENCE)
        .bind(page)
        .bind(scan)
        .bind(completion.now.as_millisecond())
        .bind(evidence.as_slice())
        .execute(&mut *connection)
        .await?;
    if let Some(mark) = completion.mark {
        sqlx::query(MARK)
            .bind(page)
            .bind(mark.looked_at.as_millisecond())
            .bind(&mark.basis)
            .bind(mark.unchanged)
            .execute(&mut *connection)
            .await?;
    }
    for (hash, data) in &packed.bodies {
        sqlx::query("INSERT INTO bodies (hash, data) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING")
            .bind(inward(hash))
            .bind(data.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    if !packed.named.is_empty() {
        sqlx::query(NAME_BODIES)
            .bind(scan)
            .bind(rows(&packed.named)?)
            .execute(connection)
            .await?;
    }
    Ok(())
}
