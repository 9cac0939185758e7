use jiff::Timestamp;

use super::reconcile::{draft, is_seen, policy};
use super::route::search_projects;
use crate::config::JiraConfig;
use crate::jira::{Call, SearchRequest};
use crate::site::SiteId;
use crate::store::{Result, TicketStore};
use crate::triage::Fingerprint;

/// Intents that a dry run looks at, at most.
const LIMIT: u32 = 100_000;

/// What a live run would send for one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The requests, in order. The last one is sent only if the ones before find no ticket.
    pub calls: Vec<Call>,
    /// Why nothing can be sent: a configured field cannot be filled.
    pub problem: Option<String>,
}

/// What a live run would send for all that waits of one site or of all, due or not. Nothing is sent, and nothing changes in the store.
///
/// What is sent for a finding that has a ticket depends on the ticket, so for these only the look at it is shown.
pub async fn dry_run(store: &dyn TicketStore, config: &JiraConfig, site: Option<&SiteId>) -> Result<Vec<Planned>> {
    let policy = policy(config);
    let mut plans = Vec::new();
    for intent in store.due_intents(Timestamp::MAX, LIMIT, site).await? {
        let Some(finding) = store.finding(&intent.fingerprint).await? else {
            continue;
        };
        if !policy.files(&finding) {
            continue;
        }
        let mut plan = Planned {
            fingerprint: intent.fingerprint,
            calls: Vec::new(),
            problem: None,
        };
        if let Some(link) = store.ticket(&plan.fingerprint).await? {
            plan.calls.push(Call::issue(config.deployment, &link.issue_id));
            plans.push(plan);
            continue;
        }
        if is_seen(&finding) {
            let search = SearchRequest::for_ticket(&search_projects(config), &plan.fingerprint, 1);
            plan.calls.push(Call::search(config.deployment, &search));
            match draft(store, config, &finding, 1, None).await?.issue {
                Ok(issue) => plan.calls.push(Call::create_issue(config.deployment, &issue)),
                Err(problem) => plan.problem = Some(problem),
            }
        }
        if !plan.calls.is_empty() {
            plans.push(plan);
        }
    }
    Ok(plans)
}
