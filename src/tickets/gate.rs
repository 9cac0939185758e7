//! How much one run may change: caps of a day, the pace of a baseline, the circuit breaker.
//!
//! Planned from what the store knows before anything is sent, so that a run that would change too much changes nothing;
//! and counted as it goes on, for what only Jira knew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::Severity;

use super::clock::after;
use super::outbox::{Held, Hold, Intent, TicketLink};
use super::route::defaults_for;
use crate::config::{Baseline, JiraConfig, Resolve};
use crate::jira::Policy;
use crate::site::SiteId;
use crate::store::{Result, TicketStore};
use crate::triage::{Finding, FindingState};

/// Changes that the circuit breaker never minds, however few tickets a project has.
pub const BREAKER_FLOOR: u64 = 10;
/// How long a release by a person holds.
const RELEASE: Duration = Duration::from_hours(24);
const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);
/// Pages that are asked for, to find a route.
const PAGES: u32 = 1_000;

/// What a run may still do.
pub(super) struct Gate {
    state: Mutex<State>,
    cap: u32,
    share: f64,
    baseline: Baseline,
}

#[derive(Default)]
struct State {
    projects: BTreeMap<String, Project>,
    /// Tickets of baselines that may still be created this week.
    baseline_left: u32,
    /// The ends of the first whole scans, by site.
    baseline_ends: BTreeMap<SiteId, Option<Timestamp>>,
}

#[derive(Default)]
struct Project {
    tickets: u64,
    created_today: u32,
    changes: u64,
    hold: Option<Hold>,
}

/// A change that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Create {
        /// The site's first whole scan found it.
        baseline: bool,
        /// It was counted by an earlier run.
        counted: bool,
    },
    Reopen,
    Resolve,
}

/// What is done with the intents of a run.
#[derive(Default)]
pub(super) struct Plan {
    /// To be worked on, in this order.
    pub order: Vec<Intent>,
    /// To be put off.
    pub held: Vec<(Intent, Held, Timestamp)>,
    /// Projects whose breaker has tripped just now.
    pub tripped: Vec<Hold>,
}

struct Candidate {
    intent: Intent,
    severity: Severity,
    project: String,
    change: Option<Change>,
}

impl Gate {
    /// Reads what was done before.
    pub async fn open(store: &dyn TicketStore, config: &JiraConfig, now: Timestamp) -> Result<Self> {
        let mut state = State::default();
        for link in store.all_tickets().await? {
            state.projects.entry(link.project().to_owned()).or_default().tickets += 1;
        }
        let mut this_week = 0;
        for creation in store.creations(before(now, WEEK)).await? {
            let detail = creation.detail.unwrap_or_default();
            this_week += u32::from(detail.baseline);
            if creation.at >= midnight(now)
                && let Some(project) = detail.project
            {
                state.projects.entry(project).or_default().created_today += 1;
            }
        }
        for hold in store.holds().await? {
            if hold.released.is_some_and(|released| after(released, RELEASE) <= now) {
                store.remove_hold(&hold.project).await?;
            } else {
                let project = hold.project.clone();
                state.projects.entry(project).or_default().hold = Some(hold);
            }
        }
        let baseline = config.lifecycle.baseline;
        state.baseline_left = match baseline {
            Baseline::File => 0,
            Baseline::Release { per_week } => per_week.saturating_sub(this_week),
        };
        Ok(Self {
            state: Mutex::new(state),
            cap: config.lifecycle.max_new_per_day,
            share: config.lifecycle.breaker_share,
            baseline,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first whole scan of its site found it, or there was none yet.
    pub async fn is_baseline(&self, store: &dyn TicketStore, finding: &Finding) -> Result<bool> {
        let known = self.state().baseline_ends.get(&finding.site).copied();
        let end = if let Some(end) = known {
            end
        } else {
            let end = store.baseline_end(&finding.site).await?;
            self.state().baseline_ends.insert(finding.site.clone(), end);
            end
        };
        Ok(end.is_none_or(|end| finding.first_seen <= end))
    }

    /// May this be done now? If so, it is counted.
    pub fn admit(
        &self,
        project: &str,
        site: &SiteId,
        change: Change,
        now: Timestamp,
    ) -> std::result::Result<(), (Held, Timestamp)> {
        let mut state = self.state();
        let tomorrow = after(midnight(now), DAY);
        let left = state.baseline_left;
        let baseline_end = state.baseline_ends.get(site).copied().flatten();
        let entry = state.projects.entry(project.to_owned()).or_default();
        if entry.is_held() {
            return Err((Held::Breaker, after(now, DAY)));
        }
        let mut spends_baseline = false;
        if let Change::Create { baseline, .. } = change {
            if baseline && self.baseline != Baseline::File {
                let begun = baseline_end.is_some_and(|end| after(end, DAY) <= now);
                if !begun || left == 0 {
                    return Err((Held::Baseline, tomorrow));
                }
                spends_baseline = true;
            }
            if entry.created_today >= self.cap {
                return Err((Held::Cap, tomorrow));
            }
        }
        if change.counts() && entry.hold.is_none() {
            if entry.tickets > 0 && entry.changes + 1 > self.limit(entry.tickets) {
                entry.hold = Some(Hold {
                    project: project.to_owned(),
                    since: now,
                    changes: entry.changes + 1,
                    tickets: entry.tickets,
                    released: None,
                });
                return Err((Held::Breaker, after(now, DAY)));
            }
            entry.changes += 1;
        }
        if matches!(change, Change::Create { .. }) {
            entry.created_today += 1;
        }
        if spends_baseline {
            state.baseline_left -= 1;
        }
        Ok(())
    }

    /// A hold of this project that is not in the store yet.
    pub fn hold_of(&self, project: &str) -> Option<Hold> {
        let state = self.state();
        let entry = state.projects.get(project)?;
        entry.hold.clone().filter(|_| entry.is_held())
    }

    /// Changes that the breaker lets pass in a project with this many tickets.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )] // both are small
    fn limit(&self, tickets: u64) -> u64 {
        ((tickets as f64 * self.share) as u64).max(BREAKER_FLOOR)
    }

    /// Says what is done with these intents, before anything is sent.
    pub async fn plan(
        &self,
        store: &dyn TicketStore,
        config: &JiraConfig,
        policy: &Policy,
        intents: Vec<Intent>,
        now: Timestamp,
    ) -> Result<Plan> {
        let mut candidates = Vec::new();
        for intent in intents {
            candidates.push(self.candidate(store, config, policy, intent, now).await?);
        }
        // The worst first: they are the first to use up a cap.
        candidates.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.intent.due.cmp(&b.intent.due)));
        let mut plan = Plan {
            tripped: self.trip(&candidates, now),
            ..Plan::default()
        };
        let mut creations: BTreeMap<String, u32> = BTreeMap::new();
        for candidate in candidates {
            let Candidate {
                intent,
                project,
                change,
                ..
            } = candidate;
            let tomorrow = after(midnight(now), DAY);
            if self.hold_of(&project).is_some() {
                plan.held.push((intent, Held::Breaker, after(now, DAY)));
                continue;
            }
            // What was looked for in Jira before and then held is not looked for again until there is room.
            if let (Some(Change::Create { .. }), Some(why @ (Held::Cap | Held::Baseline))) = (change, intent.held) {
                let room = self.room(&project, why);
                let used = creations.entry(format!("{project} {why:?}")).or_default();
                if *used >= room {
                    plan.held.push((intent, why, tomorrow));
                    continue;
                }
                *used += 1;
            }
            plan.order.push(intent);
        }
        Ok(plan)
    }

    fn room(&self, project: &str, why: Held) -> u32 {
        let state = self.state();
        let created = state.projects.get(project).map_or(0, |entry| entry.created_today);
        let today = self.cap.saturating_sub(created);
        match (why, self.baseline) {
            (Held::Baseline, Baseline::Release { .. }) => today.min(state.baseline_left),
            _ => today,
        }
    }

    async fn candidate(
        &self,
        store: &dyn TicketStore,
        config: &JiraConfig,
        policy: &Policy,
        intent: Intent,
        now: Timestamp,
    ) -> Result<Candidate> {
        let link = store.ticket(&intent.fingerprint).await?;
        let Some(finding) = store.finding(&intent.fingerprint).await? else {
            return Ok(Candidate {
                intent,
                severity: Severity::Info,
                project: String::new(),
                change: None,
            });
        };
        let seen = matches!(
            finding.state,
            FindingState::New | FindingState::Seen | FindingState::Regressed
        );
        let (project, change) = if let Some(link) = &link {
            let change = expected(&finding, link, policy, seen, now);
            (link.project().to_owned(), change)
        } else {
            let baseline = self.is_baseline(store, &finding).await?;
            let change = (seen && policy.files(&finding)).then_some(Change::Create {
                baseline,
                counted: intent.held.is_some(),
            });
            (project_of(store, config, &finding).await?, change)
        };
        Ok(Candidate {
            intent,
            severity: finding.severity,
            project,
            change,
        })
    }

    /// Holds the projects in which too much would change.
    fn trip(&self, candidates: &[Candidate], now: Timestamp) -> Vec<Hold> {
        let mut tripped = Vec::new();
        let mut state = self.state();
        let names: BTreeSet<&str> = candidates.iter().map(|one| one.project.as_str()).collect();
        for project in names {
            let wanted = candidates
                .iter()
                .filter(|one| one.project == project && one.change.is_some_and(Change::counts))
                .count() as u64;
            let Some(entry) = state.projects.get_mut(project) else {
                continue;
            };
            // A project without tickets has nothing to compare with; the cap bounds what is filed there.
            if entry.hold.is_none() && entry.tickets > 0 && wanted > self.limit(entry.tickets) {
                let hold = Hold {
                    project: project.to_owned(),
                    since: now,
                    changes: wanted,
                    tickets: entry.tickets,
                    released: None,
                };
                entry.hold = Some(hold.clone());
                tripped.push(hold);
            }
        }
        tripped
    }
}

impl Project {
    fn is_held(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.released.is_none())
    }
}

impl Change {
    /// The breaker counts it: it was not expected.
    fn counts(self) -> bool {
        match self {
            Self::Create { baseline, counted } => !baseline && !counted,
            Self::Reopen | Self::Resolve => true,
        }
    }
}

/// What will probably happen to a ticket, by what is known of it here.
fn expected(finding: &Finding, link: &TicketLink, policy: &Policy, seen: bool, now: Timestamp) -> Option<Change> {
    let lifecycle = &policy.lifecycle;
    match (finding.state, link.closed) {
        (_, Some(closed)) if seen && after(closed, lifecycle.reopen_grace) <= now => Some(Change::Reopen),
        (FindingState::Fixed, None) if lifecycle.resolve == Resolve::Transition => Some(Change::Resolve),
        _ => None,
    }
}

/// The project in which the ticket of a finding is filed.
pub(super) async fn project_of(store: &dyn TicketStore, config: &JiraConfig, finding: &Finding) -> Result<String> {
    if config.routes.is_empty() {
        return Ok(config.defaults.project.clone());
    }
    let (pages, _) = store
        .finding_pages(&finding.last_scan, &finding.fingerprint, PAGES)
        .await?;
    let urls: Vec<&str> = pages.iter().map(|page| page.url.as_str()).collect();
    Ok(defaults_for(config, finding, &urls).project)
}

fn before(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_sub(duration).unwrap_or(Timestamp::MIN)
}

/// The beginning of a day in UTC.
fn midnight(now: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    let ms = now.as_millisecond();
    Timestamp::from_millisecond(ms - ms.rem_euclid(DAY_MS)).unwrap_or(now)
}
