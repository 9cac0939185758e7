//! Pages that are explored are loaded once more with a mark in their address, for the checks that want to see where it
//! comes to. Of pages that are alike and have the same scripts one is enough.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use phantom_checks::Check;
use phantom_checks::evidence::{Evidence, ProbeAnswer};
use phantom_checks::stable::template;
use url::Url;

use super::Worker;
use crate::browser::{Captured, PageRequest, Visit, mark};
use crate::crawl::Lease;
use crate::scan::inspect::Inspected;

/// Pages of one template whose scripts differ: some have data in them.
const MOST_OF_TEMPLATE: u32 = 3;
/// Pages of one scan.
const MOST: usize = 200;

/// The pages of a scan that were marked so far.
#[derive(Default)]
pub(in crate::scan) struct Marked {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    pages: HashSet<(String, BTreeSet<String>)>,
    templates: HashMap<String, u32>,
}

impl Marked {
    /// Whether a page shows something that those before it did not. It counts as marked then.
    fn takes(&self, url: &Url, evidence: &Evidence) -> bool {
        let scripts: BTreeSet<String> = evidence
            .scripts
            .iter()
            .filter_map(|script| script.hash.clone())
            .collect();
        if scripts.is_empty() {
            return false;
        }
        let template = template(url);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.templates.get(&template).copied().unwrap_or_default();
        let room = count < MOST_OF_TEMPLATE && seen.pages.len() < MOST;
        let new = room && seen.pages.insert((template.clone(), scripts));
        if new {
            seen.templates.insert(template, count + 1);
        }
        new
    }
}

impl Worker {
    /// Looks at a page that was seen once more, with marks in its address. The tab is at no page afterwards.
    pub(super) async fn look_marked(
        &mut self,
        lease: &Lease,
        request: &PageRequest,
        captured: &mut Captured,
        inspected: &mut Inspected,
    ) {
        let run = Arc::clone(&self.run);
        let checks: Vec<_> = run
            .inspector
            .checks()
            .iter()
            .filter(|check| check.marks_address())
            .collect();
        if checks.is_empty() {
            return;
        }
        // Silence about what was found there once is to prove something.
        let must = run.record.trigger.is_look() || run.is_pinned(&lease.key);
        let page = &captured.evidence.page;
        let plain = request.explore.is_some() && page.redirects.is_empty() && page.broken_off.is_none();
        if !plain || !(run.marked.takes(&lease.url, &captured.evidence) || must) {
            if must {
                inspected
                    .failed_checks
                    .extend(checks.iter().map(|check| check.meta().id.to_owned()));
            }
            return;
        }
        match self.answers_marked(lease, &checks).await {
            Some(answers) if answers.is_empty() => {}
            Some(answers) => {
                let frame = captured
                    .evidence
                    .main_frame()
                    .map(|main| main.id.clone())
                    .unwrap_or_default();
                captured
                    .evidence
                    .probes
                    .extend(answers.into_iter().map(|answer| ProbeAnswer {
                        frame: frame.clone(),
                        ..answer
                    }));
                let (again, _) = run.inspector.run(&captured.evidence, &captured.scripts);
                let new = |one: &phantom_checks::Observation| checks.iter().any(|check| check.meta().id == one.check);
                inspected
                    .observations
                    .extend(again.observations.into_iter().filter(new));
            }
            None => inspected
                .failed_checks
                .extend(checks.iter().map(|check| check.meta().id.to_owned())),
        }
    }

    /// What the probes of checks answer on the marked page; `None` if it could not be looked at.
    async fn answers_marked(&mut self, lease: &Lease, checks: &[&&'static dyn Check]) -> Option<Vec<ProbeAnswer>> {
        let request = self.request(&mark(&lease.url));
        let rendered = self.slot.render(&request, lease.alone).await;
        self.run.tell_restarts("it died or hung, and was replaced");
        let Ok(Visit::Page(mut marked)) = rendered else {
            return None;
        };
        self.slot.leave(&request, &mut marked).await;
        let main = marked.evidence.main_frame()?.id.clone();
        let mut answers = std::mem::take(&mut marked.evidence.probes);
        answers.retain(|answer| answer.frame == main && checks.iter().any(|check| check.meta().id == answer.check));
        Some(answers)
    }
}
