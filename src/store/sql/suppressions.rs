//! Decisions that findings are not to be reported.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::codec::{json, time, unjson};
pub(in super::super) use super::dialect::suppressions::{FOR, MATCHED};
use super::dialect::suppressions::{KEEP, LIFT_OF_FILE};
use super::findings::Place;
use super::triage::{Change, save_changed};
use super::{Backend, Connection, Result, findings, rows};
use crate::scan::ScanId;
use crate::site::SiteId;
use crate::triage::{DecidedIn, Finding, FindingState, Fingerprint, Subject, Suppression, Suppressions};

const ALL: &str = "SELECT data, matched FROM suppressions WHERE lifted IS NULL";

const LIFT: &str = "UPDATE suppressions SET lifted = $2 WHERE id = $1 AND lifted IS NULL";

const END_CARRIED: &str = "UPDATE suppressions SET lifted = $3 \
     WHERE fingerprint = $1 AND carried = $2 AND lifted IS NULL RETURNING id";

fn suppression((data, matched): (String, Option<i64>)) -> Result<Suppression> {
    Ok(Suppression {
        matched: matched.map(time).transpose()?,
        ..unjson(&data, "a suppression")?
    })
}

fn ready(rows: Vec<(String, Option<i64>)>) -> Result<Suppressions> {
    let mut all: Vec<Suppression> = rows.into_iter().map(suppression).collect::<Result<_>>()?;
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(Suppressions::new(all))
}

/// Those that may cover one of these findings.
pub(super) async fn of(connection: &mut Connection, fingerprints: &[&Fingerprint]) -> Result<Suppressions> {
    let found = sqlx::query_as(FOR)
        .bind(rows(fingerprints)?)
        .fetch_all(connection)
        .await?;
    ready(found)
}

/// Notes that these cover a finding.
pub(super) async fn matched(connection: &mut Connection, ids: &BTreeSet<String>, now: Timestamp) -> Result<()> {
    if !ids.is_empty() {
        sqlx::query(MATCHED)
            .bind(rows(ids)?)
            .bind(now.as_millisecond())
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn all(store: &Backend) -> Result<Vec<Suppression>> {
    let rows: Vec<(String, Option<i64>)> = sqlx::query_as(ALL).fetch_all(&store.readers).await?;
    let mut all: Vec<Suppression> = rows.into_iter().map(suppression).collect::<Result<_>>()?;
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(all)
}

async fn keep(connection: &mut Connection, one: &Suppression, file_of: Option<&SiteId>) -> Result<()> {
    sqlx::query(KEEP)
        .bind(&one.id)
        .bind(one.scope.fingerprint.as_ref().map(|it| &it.0))
        .bind(file_of.map(|site| &site.0))
        .bind(json(one)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn suppress(store: &Backend, one: &Suppression, now: Timestamp) -> Result<u64> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let file_of = one
        .scope
        .site
        .as_ref()
        .filter(|_| one.decided_in == DecidedIn::SiteFile);
    keep(&mut tx, one, file_of).await?;
    let candidates = match &one.scope.fingerprint {
        Some(fingerprint) => findings::one_in(&mut tx, fingerprint).await?.into_iter().collect(),
        None => findings::all_in(&mut tx, one.scope.site.as_ref()).await?,
    };
    let alone = Suppressions::new([one.clone()]);
    let mut saved = Vec::new();
    let mut changes = Vec::new();
    for mut finding in candidates.into_iter().filter(|finding| finding.state.is_open()) {
        if covered(&mut tx, &alone, &finding, now).await?.is_none() {
            continue;
        }
        changes.push(Change {
            fingerprint: finding.fingerprint.clone(),
            from: Some(finding.state),
            to: FindingState::Suppressed,
            why: format!("{} by {}: {}", one.decision.words(), one.author, one.reason),
        });
        finding.state = FindingState::Suppressed;
        finding.past.suppressed_by = Some(one.id.clone());
        saved.push(finding);
    }
    save_changed(store, &mut tx, &saved, &changes, None, now).await?;
    if !changes.is_empty() {
        matched(&mut tx, &BTreeSet::from([one.id.clone()]), now).await?;
    }
    tx.commit().await?;
    Ok(changes.len() as u64)
}

/// The id of the suppression that covers a finding on all pages on which it was seen last.
async fn covered(
    connection: &mut Connection,
    suppressions: &Suppressions,
    finding: &Finding,
    now: Timestamp,
) -> Result<Option<String>> {
    let pages = findings::urls_in(connection, &finding.last_scan, &finding.fingerprint).await?;
    let urls: Vec<&str> = pages.iter().map(String::as_str).collect();
    let covering = suppressions.everywhere(&Subject::of(finding), &urls, now);
    Ok(covering.map(|suppression| suppression.id.clone()))
}

pub(super) async fn lift(store: &Backend, id: &str, by: &str, now: Timestamp) -> Result<bool> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let lifted = sqlx::query(LIFT)
        .bind(id)
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if lifted == 0 {
        return Ok(false);
    }
    let why = format!("{by} lifted the suppression {id}");
    let all = findings::all_in(&mut tx, None).await?;
    open_again(store, &mut tx, all, &[id.to_owned()], &why, None, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// A cause was split: what was decided about all of its parts under their common fingerprint no longer holds for the
/// one that took it over.
pub(super) async fn end_carried(
    connection: &mut Connection,
    place: &Place<'_>,
    alias: &Fingerprint,
    owner: &Fingerprint,
) -> Result<()> {
    let ended: Vec<String> = sqlx::query_scalar(END_CARRIED)
        .bind(&owner.0)
        .bind(&alias.0)
        .bind(place.now.as_millisecond())
        .fetch_all(&mut *connection)
        .await?;
    if ended.is_empty() {
        return Ok(());
    }
    let finding = findings::one_in(connection, owner).await?;
    let why = "its cause was split, and the decision was about all of it";
    let finding = finding.into_iter().collect();
    open_again(
        place.store,
        connection,
        finding,
        &ended,
        why,
        Some(place.scan),
        place.now,
    )
    .await
}

/// Findings that these suppressions covered are open again, unless others cover them.
async fn open_again(
    store: &Backend,
    connection: &mut Connection,
    all: Vec<Finding>,
    ended: &[String],
    why: &str,
    scan: Option<&ScanId>,
    now: Timestamp,
) -> Result<()> {
    let mut saved = Vec::new();
    let mut changes = Vec::new();
    for mut finding in all {
        let by = finding.past.suppressed_by.as_ref();
        if finding.state != FindingState::Suppressed || !by.is_some_and(|by| ended.contains(by)) {
            continue;
        }
        let others = of(connection, &[&finding.fingerprint]).await?;
        finding.past.suppressed_by = covered(connection, &others, &finding, now).await?;
        if finding.past.suppressed_by.is_none() {
            finding.state = after_suppression(connection, &finding).await?;
            changes.push(Change {
                fingerprint: finding.fingerprint.clone(),
                from: Some(FindingState::Suppressed),
                to: finding.state,
                why: why.to_owned(),
            });
        }
        saved.push(finding);
    }
    save_changed(store, connection, &saved, &changes, scan, now).await
}

/// A finding whose suppression is lifted is seen if the site's last scan saw it.
async fn after_suppression(connection: &mut Connection, finding: &Finding) -> Result<FindingState> {
    let newest: Option<String> =
        sqlx::query_scalar("SELECT id FROM scans WHERE site = $1 ORDER BY started DESC, seq DESC LIMIT 1")
            .bind(&finding.site.0)
            .fetch_optional(connection)
            .await?;
    Ok(if newest.as_deref() == Some(finding.last_scan.0.as_str()) {
        FindingState::Seen
    } else {
        FindingState::NotObserved
    })
}

pub(super) async fn set_of_file(store: &Backend, site: &SiteId, all: &[Suppression], now: Timestamp) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    let ids: Vec<&String> = all.iter().map(|one| &one.id).collect();
    sqlx::query(LIFT_OF_FILE)
        .bind(&site.0)
        .bind(rows(&ids)?)
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?;
    for one in all {
        keep(&mut tx, one, Some(site)).await?;
    }
    Ok(tx.commit().await?)
}
