//! A site that is no longer scanned: what is open on it is withdrawn, and never called fixed.

use jiff::Timestamp;

use super::ScanError;
use crate::site::SiteId;
use crate::store::Store;
use crate::triage::{Finding, retired};

/// Withdraws the open findings of a site; each wishes for its ticket, which says so once. Returns those that were open.
///
/// # Errors
/// When the store fails; then nothing has changed.
pub async fn retire(store: &dyn Store, site: &SiteId, now: Timestamp) -> Result<Vec<Finding>, ScanError> {
    let findings = store.all_findings(Some(site)).await?;
    let judgements: Vec<_> = findings.iter().filter_map(|finding| retired(finding, now)).collect();
    store.judge(&judgements, now).await?;
    Ok(judgements.into_iter().map(|judgement| judgement.before).collect())
}
