//! A finding that was known under an earlier definition of its cause is taken over, with all that belongs to it.

use std::collections::HashMap;

use super::findings::{self, Place};
use super::triage::{Change, tell};
use super::{Connection, Result, suppressions};
use crate::triage::{Fingerprint, Sighting};

/// What is kept under a fingerprint and goes with its finding: $1 the earlier one, $2 the one now.
const MOVE: [&str; 8] = [
    "UPDATE intents SET fingerprint = $2 WHERE fingerprint = $1",
    "UPDATE tickets SET fingerprint = $2 WHERE fingerprint = $1",
    "UPDATE actions SET key = replace(key, $1, $2), fingerprint = $2 WHERE fingerprint = $1",
    "DELETE FROM pictures WHERE fingerprint = $2 AND EXISTS (SELECT 1 FROM pictures WHERE fingerprint = $1)",
    "UPDATE pictures SET fingerprint = $2 WHERE fingerprint = $1",
    "UPDATE finding_events SET fingerprint = $2 WHERE fingerprint = $1",
    super::dialect::aliases::MOVE_SUPPRESSIONS,
    "INSERT INTO finding_aliases (alias, fingerprint) VALUES ($1, $2)",
];

/// The same, of the scans of the site $3.
const MOVE_SCANS: [&str; 2] = [
    "UPDATE scan_findings SET fingerprint = $2 \
     WHERE fingerprint = $1 AND scan IN (SELECT seq FROM scans WHERE site = $3)",
    "UPDATE finding_pages SET fingerprint = $2 \
     WHERE fingerprint = $1 AND scan IN (SELECT seq FROM scans WHERE site = $3)",
];

const OWNER: &str = "SELECT fingerprint FROM finding_aliases WHERE alias = $1";

/// What came of an alias.
enum Alias {
    Unknown,
    TakenOver,
    /// This finding has it.
    Spent(Fingerprint),
}

/// What came of the aliases of the sightings of a page.
#[derive(Default)]
pub(super) struct Adopted {
    /// A finding was taken over.
    pub any: bool,
    /// Which finding has the alias of those that came too late for it.
    pub parents: HashMap<Fingerprint, Fingerprint>,
}

/// Lets sightings that nobody has a finding for take over what was known under one of their aliases. An alias is taken
/// over once: if a cause was split, the first of its parts has the ticket, and the others are new.
pub(super) async fn adopt<'a>(
    connection: &mut Connection,
    place: &Place<'_>,
    unknown: impl Iterator<Item = &'a Sighting>,
) -> Result<Adopted> {
    let mut adopted = Adopted::default();
    for sighting in unknown {
        for alias in &sighting.aliases {
            match take_over(connection, place, alias, &sighting.fingerprint).await? {
                Alias::Unknown => {}
                Alias::TakenOver => {
                    adopted.any = true;
                    break;
                }
                Alias::Spent(owner) => {
                    suppressions::end_carried(connection, place, alias, &owner).await?;
                    adopted.parents.insert(sighting.fingerprint.clone(), owner);
                    break;
                }
            }
        }
    }
    Ok(adopted)
}

async fn take_over(
    connection: &mut Connection,
    place: &Place<'_>,
    alias: &Fingerprint,
    fingerprint: &Fingerprint,
) -> Result<Alias> {
    let owner: Option<String> = sqlx::query_scalar(OWNER)
        .bind(&alias.0)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(owner) = owner {
        return Ok(Alias::Spent(Fingerprint(owner)));
    }
    let Some(finding) = findings::one_in(connection, alias).await? else {
        return Ok(Alias::Unknown);
    };
    let finding = finding.adopt(fingerprint);
    findings::save(connection, std::slice::from_ref(&finding)).await?;
    for statement in MOVE {
        sqlx::query(statement)
            .bind(&alias.0)
            .bind(&fingerprint.0)
            .execute(&mut *connection)
            .await?;
    }
    for statement in MOVE_SCANS {
        sqlx::query(statement)
            .bind(&alias.0)
            .bind(&fingerprint.0)
            .bind(&place.site.0)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("DELETE FROM findings WHERE fingerprint = $1")
        .bind(&alias.0)
        .execute(&mut *connection)
        .await?;
    let change = Change {
        fingerprint: fingerprint.clone(),
        from: Some(finding.state),
        to: finding.state,
        why: format!("its cause is defined anew; it was {alias}"),
    };
    tell(connection, &[change], Some(place.scan), place.now).await?;
    Ok(Alias::TakenOver)
}
