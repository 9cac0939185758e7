//! The frontier: pages and their leases.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use url::Url;

use super::codec::{millis, time, unsigned};
pub(in super::super) use super::dialect::frontier::{CANDIDATES, INSERT, TAKE};
use super::{Backend, Connection, Result, StoreError, inward, lock_hosts, lock_scan, rows, scans, tell_of_pages};
use crate::crawl::{Lease, LeaseRequest, NewPage, PageKey, Template};
use crate::scan::ScanId;

/// Leases that ran out give their pages back. The token stays: until another worker takes the page, the late one may
/// still hand in what it rendered.
pub(in super::super) const RECLAIM: &str = "UPDATE pages SET state = 'waiting', owner = NULL, lease_until = NULL \
     WHERE scan = $1 AND state = 'leased' AND lease_until <= $2";

/// The hosts of waiting pages, one index seek each however many pages wait, with what their pace allows.
pub(in super::super) const HOSTS: &str = "WITH RECURSIVE waiting (host) AS ( \
         SELECT min(host) FROM pages WHERE scan = $1 AND state = 'waiting' \
         UNION ALL \
         SELECT (SELECT min(p.host) FROM pages p WHERE p.scan = $1 AND p.state = 'waiting' AND p.host > w.host) \
         FROM waiting w WHERE w.host IS NOT NULL \
     ) \
     SELECT w.host, coalesce((SELECT h.next_allowed FROM hosts h WHERE h.host = w.host), 0), \
         (SELECT count(*) FROM pages l WHERE l.host = w.host AND l.state = 'leased' AND l.lease_until > $2), \
         (SELECT min(l.lease_until) FROM pages l WHERE l.host = w.host AND l.state = 'leased' AND l.lease_until > $2) \
     FROM waiting w WHERE w.host IS NOT NULL";

/// The pages that a budget is for.
pub(in super::super) const COUNTED: &str = "SELECT leased + done + failed FROM scan_counts WHERE scan = $1";

pub(in super::super) const FIRST_END: &str = "SELECT min(lease_until) FROM pages WHERE scan = $1 AND state = 'leased'";

pub(in super::super) const RENEW: &str = "UPDATE pages SET lease_until = $4 \
     WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND key = $2 AND token = $3 AND state = 'leased'";

pub(in super::super) const RELEASE: &str = "UPDATE pages SET state = 'waiting', token = NULL, owner = NULL, lease_until = NULL, \
         alone = alone OR $4, crashes = crashes + CAST($4 AS INTEGER) \
     WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND key = $2 AND token = $3 AND state IN ('leased', 'waiting')";

pub(in super::super) const RELEASE_OWNER: &str = "UPDATE pages \
     SET state = 'waiting', token = NULL, owner = NULL, lease_until = NULL \
     WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND state = 'leased' AND owner = $2";

pub(in super::super) const LEASE_OWNERS: &str = "SELECT DISTINCT p.owner FROM scans s JOIN pages p ON p.scan = s.seq \
     WHERE s.id = $1 AND p.state = 'leased' AND p.owner IS NOT NULL ORDER BY p.owner";

pub(in super::super) const SKIP_WAITING: &str = "UPDATE pages SET state = 'skipped', reason = $2, token = NULL \
     WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND state = 'waiting'";

pub(in super::super) const SKIP_ALIKE: &str = "UPDATE pages SET state = 'skipped', reason = $3, token = NULL \
     WHERE scan = $1 AND state = 'waiting' AND (template = $2 OR family = $2)";

/// The host whose pace a page obeys: the name without the port, as the ports of a name are mostly one machine.
pub(super) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// Adds pages that the scan does not know yet.
pub(super) async fn insert(connection: &mut Connection, scan: i64, pages: &[NewPage]) -> Result<u64> {
    if pages.is_empty() {
        return Ok(0);
    }
    let added: Vec<_> = pages
        .iter()
        .map(|page| {
            let found_on = page.found_on.as_ref().map(|key| &key.0);
            (
                &page.key.0,
                page.url.as_str(),
                host(&page.url),
                page.depth,
                found_on,
                &page.skip,
                page.template.as_ref().map(|template| &template.pattern),
                page.template.as_ref().map(|template| &template.family),
                page.turn(),
            )
        })
        .collect();
    let done = sqlx::query(INSERT)
        .bind(scan)
        .bind(rows(&added)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

pub(super) async fn add_pages(store: &Backend, scan: &ScanId, pages: &[NewPage]) -> Result<u64> {
    let mut writers = store.writer().await?;
    // Who read them where a site lists its pages does not read them again.
    let mut tx = writers.durable().await?;
    lock_scan(&mut tx, scan).await?;
    let seq = scans::seq(&mut tx, scan).await?;
    let added = insert(&mut tx, seq, pages).await?;
    if added > 0 {
        tell_of_pages(&mut tx, scan).await?;
    }
    tx.commit().await?;
    Ok(added)
}

/// A host with waiting pages.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Host {
    name: String,
    /// No request before, in milliseconds.
    next_allowed: i64,
    /// Unexpired leases.
    held: i64,
    /// When the first of them ends.
    first_end: Option<i64>,
}

impl Host {
    /// How many leases it may give out now: none as long as none of its turns is near.
    fn room(&self, now: i64, pace: i64, concurrency: u32) -> i64 {
        if self.next_allowed.saturating_sub(pace) > now {
            return 0;
        }
        (i64::from(concurrency) - self.held).max(0)
    }

    /// When it may give out the next one.
    fn free_at(&self, pace: i64, concurrency: u32) -> i64 {
        let near = self.next_allowed.saturating_sub(pace);
        match self.first_end {
            Some(end) if self.held >= i64::from(concurrency) => end.max(near),
            _ => near,
        }
    }
}

async fn hosts(connection: &mut Connection, scan: i64, now: i64) -> Result<Vec<Host>> {
    let found: Vec<(String, i64, i64, Option<i64>)> =
        sqlx::query_as(HOSTS).bind(scan).bind(now).fetch_all(connection).await?;
    let furthest = super::turns::furthest(now);
    let host = |(name, next_allowed, held, first_end)| Host {
        name,
        next_allowed: if next_allowed > furthest { 0 } else { next_allowed },
        held,
        first_end,
    };
    Ok(found.into_iter().map(host).collect())
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct Candidate {
    id: i64,
    host: String,
    key: String,
    url: String,
    depth: i64,
    turn: i64,
    alone: bool,
    crashes: i64,
    alike: bool,
}

/// The candidates that get a lease: hosts take turns, those with the fewest leases first; in a turn shallow pages come
/// before deep ones, then hosts that have rested longest.
fn choose(hosts: &[(Host, i64)], mut candidates: Vec<Candidate>, max: usize) -> Vec<Candidate> {
    let known: HashMap<&str, &(Host, i64)> = hosts.iter().map(|entry| (entry.0.name.as_str(), entry)).collect();
    candidates.sort_unstable_by_key(|page| (page.depth, page.turn, page.id));
    let mut given: HashMap<String, i64> = HashMap::new();
    let mut ranked = Vec::new();
    for page in candidates {
        let Some((host, room)) = known.get(page.host.as_str()) else {
            continue;
        };
        let given = given.entry(page.host.clone()).or_default();
        if *given < *room {
            let rank = (host.held + *given, page.depth, host.next_allowed, page.turn, page.id);
            ranked.push((rank, page));
            *given += 1;
        }
    }
    ranked.sort_unstable_by_key(|(rank, _)| *rank);
    ranked.truncate(max);
    ranked.into_iter().map(|(_, page)| page).collect()
}

pub(super) async fn lease(store: &Backend, request: &LeaseRequest<'_>) -> Result<Vec<Lease>> {
    let pace = millis(request.pace);
    let mut writers = store.writer().await?;
    let now = store.there(request.now);
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, request.scan).await?;
    let scan = scans::seq(&mut tx, request.scan).await?;
    sqlx::query(RECLAIM).bind(scan).bind(now).execute(&mut *tx).await?;
    let counted: i64 = sqlx::query_scalar(COUNTED).bind(scan).fetch_one(&mut *tx).await?;
    let left = request.most.saturating_sub(unsigned(counted, "the pages of a scan")?);
    let max = u64::from(request.max).min(left);
    let with_room = |known: Vec<Host>| -> Vec<(Host, i64)> {
        let room = known.into_iter().map(|host| {
            let room = host.room(now, pace, request.concurrency);
            (host, room)
        });
        room.filter(|(_, room)| *room > 0).collect()
    };
    let mut free = with_room(hosts(&mut tx, scan, now).await?);
    let names: Vec<&str> = free.iter().map(|(host, _)| host.name.as_str()).collect();
    if lock_hosts(&mut tx, &names).await? {
        // What others did to them before they were ours alone.
        let locked: HashSet<String> = names.into_iter().map(str::to_owned).collect();
        free = with_room(hosts(&mut tx, scan, now).await?);
        free.retain(|(host, _)| locked.contains(&host.name));
    }
    let most = free
        .iter()
        .map(|(_, room)| *room)
        .max()
        .unwrap_or(0)
        .min(i64::try_from(max).unwrap_or(i64::MAX));
    let names: Vec<&str> = free.iter().map(|(host, _)| host.name.as_str()).collect();
    let candidates = if most == 0 {
        Vec::new()
    } else {
        sqlx::query_as(CANDIDATES)
            .bind(scan)
            .bind(rows(&names)?)
            .bind(most)
            .fetch_all(&mut *tx)
            .await?
    };
    let chosen = choose(&free, candidates, usize::try_from(max).unwrap_or(usize::MAX));
    let leases = take(&mut tx, request, now, chosen).await?;
    tx.commit().await?;
    Ok(leases)
}

/// Marks pages as leased.
async fn take(
    connection: &mut Connection,
    request: &LeaseRequest<'_>,
    now: i64,
    chosen: Vec<Candidate>,
) -> Result<Vec<Lease>> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let tokens: Vec<(i64, String)> = chosen
        .iter()
        .map(|page| (page.id, hex::encode(rand::random::<[u8; 16]>())))
        .collect();
    sqlx::query(TAKE)
        .bind(rows(&tokens)?)
        .bind(request.owner)
        .bind(now.saturating_add(millis(request.ttl)))
        .execute(connection)
        .await?;
    chosen
        .into_iter()
        .zip(tokens)
        .map(|(page, (_, token))| {
            let url =
                Url::parse(&page.url).map_err(|error| StoreError::Corrupt(format!("the URL {}: {error}", page.url)))?;
            let template = page.alike.then(|| Template::of(&url));
            Ok(Lease {
                token,
                scan: request.scan.clone(),
                url,
                key: PageKey(page.key),
                depth: unsigned(page.depth, "the depth of a page")?,
                alone: page.alone,
                crashes: unsigned(page.crashes, "the crashes of a page")?,
                template,
            })
        })
        .collect()
}

pub(super) async fn next_lease_at(store: &Backend, request: &LeaseRequest<'_>) -> Result<Option<Timestamp>> {
    let now = store.there(request.now);
    // A page that is leased between two looks would be neither leased nor waiting, and who asks would think that none is
    // left.
    let mut tx = store.snapshot().await?;
    let scan = scans::seq(&mut tx, request.scan).await?;
    let first_end: Option<i64> = sqlx::query_scalar(FIRST_END).bind(scan).fetch_one(&mut *tx).await?;
    let hosts = hosts(&mut tx, scan, now).await?;
    tx.commit().await?;
    let first_free = hosts.iter();
    let first_free = first_free
        .map(|host| host.free_at(millis(request.pace), request.concurrency))
        .min();
    [first_end, first_free]
        .into_iter()
        .flatten()
        .min()
        .map(|at| time(store.here(at.max(now))))
        .transpose()
}

pub(super) async fn renew(store: &Backend, lease: &Lease, until: Timestamp) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    let done = sqlx::query(RENEW)
        .bind(&lease.scan.0)
        .bind(&lease.key.0)
        .bind(&lease.token)
        .bind(store.there(until))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn release(store: &Backend, lease: &Lease, crashed: bool) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, &lease.scan).await?;
    sqlx::query(RELEASE)
        .bind(&lease.scan.0)
        .bind(&lease.key.0)
        .bind(&lease.token)
        .bind(crashed)
        .execute(&mut *tx)
        .await?;
    tell_of_pages(&mut tx, &lease.scan).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn release_owner(store: &Backend, scan: &ScanId, owner: &str) -> Result<u64> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    let done = sqlx::query(RELEASE_OWNER)
        .bind(&scan.0)
        .bind(owner)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() > 0 {
        tell_of_pages(&mut tx, scan).await?;
    }
    tx.commit().await?;
    Ok(done.rows_affected())
}

pub(super) async fn lease_owners(store: &Backend, scan: &ScanId) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(LEASE_OWNERS)
        .bind(&scan.0)
        .fetch_all(&store.readers)
        .await?)
}

pub(super) async fn skip_waiting(store: &Backend, scan: &ScanId, reason: &str) -> Result<u64> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    let done = sqlx::query(SKIP_WAITING)
        .bind(&scan.0)
        .bind(inward(reason))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

pub(super) async fn skip_alike(store: &Backend, scan: &ScanId, alike: &str, reason: &str) -> Result<u64> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    lock_scan(&mut tx, scan).await?;
    let scan = scans::seq(&mut tx, scan).await?;
    let done = sqlx::query(SKIP_ALIKE)
        .bind(scan)
        .bind(inward(alike))
        .bind(inward(reason))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, next_allowed: i64, held: i64) -> Host {
        Host {
            name: name.to_owned(),
            next_allowed,
            held,
            first_end: (held > 0).then_some(900),
        }
    }

    fn page(id: i64, host: &str, depth: i64) -> Candidate {
        Candidate {
            id,
            host: host.to_owned(),
            key: format!("https://{host}/{id}"),
            url: format!("https://{host}/{id}"),
            depth,
            turn: 0,
            alone: false,
            crashes: 0,
            alike: false,
        }
    }

    #[test]
    fn what_a_host_may_give_out() {
        for (next_allowed, held, pace, concurrency, room) in [
            (100, 0, 500, 4, 4),
            (600, 1, 500, 4, 3),
            (601, 0, 500, 4, 0),
            (100, 4, 500, 4, 0),
            (0, 1, 0, 4, 3),
            (0, 9, 0, 4, 0),
        ] {
            assert_eq!(host("a", next_allowed, held).room(100, pace, concurrency), room);
        }
        assert_eq!(host("a", 100, 1).free_at(0, 1), 900);
        assert_eq!(host("a", 100, 1).free_at(0, 2), 100);
        assert_eq!(host("a", 1000, 1).free_at(0, 1), 1000);
        assert_eq!(host("a", 1000, 0).free_at(400, 1), 600);
    }

    #[test]
    fn hosts_take_turns_and_shallow_pages_go_first() {
        let hosts = [(host("a", 0, 0), 2), (host("b", 0, 0), 2), (host("busy", 0, 3), 1)];
        let pages = vec![
            page(1, "busy", 0),
            page(2, "a", 1),
            page(3, "a", 1),
            page(4, "b", 2),
            page(5, "b", 0),
            page(6, "b", 2),
            page(7, "gone", 0),
        ];
        let ids = |max| {
            choose(&hosts, pages.clone(), max)
                .iter()
                .map(|page| page.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(10), [5, 2, 3, 4, 1]);
        assert_eq!(ids(2), [5, 2]);
        let turn = |id, turn| Candidate {
            turn,
            ..page(id, "a", 1)
        };
        let in_turn = choose(&hosts, vec![turn(1, 9), turn(2, 3)], 2);
        assert_eq!(in_turn.iter().map(|page| page.id).collect::<Vec<_>>(), [2, 1]);
    }
}
