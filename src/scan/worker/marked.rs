//! Pages that are explored are loaded once more with a mark in their address, for the checks that want to see where it
//! comes to. Of pages that are alike and have the same scripts one is enough.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use phantom_checks::evidence::{Evidence, Page, ProbeAnswer};
use phantom_checks::stable::template;
use phantom_checks::{Check, Observation};
use url::Url;

use super::Worker;
use crate::browser::{Captured, PageRequest, Visit, mark};
use crate::crawl::{Lease, wait_after};
use crate::scan::inspect::Inspected;
use crate::scan::turns::host_of;

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
        let ids = || checks.iter().map(|check| check.meta().id.to_owned());
        // Silence about what was found there once is to prove something.
        let must = run.record.trigger.is_look() || run.is_pinned(&lease.key);
        let page = &captured.evidence.page;
        let plain = request.explore.is_some() && page.redirects.is_empty() && page.broken_off.is_none();
        if !plain || !(run.marked.takes(&lease.url, &captured.evidence) || must) {
            if must {
                inspected.failed_checks.extend(ids());
            }
            return;
        }
        let mut answers = self.answers_marked(lease, captured, &checks).await;
        if answers.is_none() && !run.stop.is_cancelled() {
            answers = self.answers_marked(lease, captured, &checks).await;
        }
        let Some(answers) = answers else {
            let gap = "what becomes of its address could not be tried: it was not the same page once more".to_owned();
            captured.evidence.gaps.push(gap);
            inspected.failed_checks.extend(ids());
            return;
        };
        captured.evidence.probes.extend(answers);
        let (again, _) = run.inspector.run(&captured.evidence, &captured.scripts);
        let of_these = |one: &Observation| checks.iter().any(|check| check.meta().id == one.check);
        inspected
            .observations
            .extend(again.observations.into_iter().filter(of_these));
    }

    /// What the probes of checks answer on the marked page; `None` if it could not be looked at, or is another one.
    async fn answers_marked(
        &mut self,
        lease: &Lease,
        plain: &Captured,
        checks: &[&&'static dyn Check],
    ) -> Option<Vec<ProbeAnswer>> {
        let (url, word) = mark(&lease.url);
        let request = PageRequest {
            held_word: Some(word),
            ..self.request(&url)
        };
        let rendered = self.slot.render(&request, lease.alone).await;
        self.run.tell_restarts("it died or hung, and was replaced");
        let Ok(Visit::Page(mut marked)) = rendered else {
            return None;
        };
        self.slot.leave(&request, &mut marked).await;
        let page = &marked.evidence.page;
        let host = host_of(&lease.url);
        let (status, asks) = (page.status.unwrap_or(200), page.header("retry-after"));
        if let Some(wait) = wait_after(status, asks, self.run.turns.refusals(host), Timestamp::now())
            && page.status != plain.evidence.page.status
        {
            // Who has had enough is left alone, by all.
            let _ = self.run.turns.refused(host, wait).await;
        }
        if !is_same(page, &plain.evidence.page) {
            return None;
        }
        let main = marked.evidence.main_frame()?.id.clone();
        let frame = plain.evidence.main_frame()?.id.clone();
        let mut answers = std::mem::take(&mut marked.evidence.probes);
        answers.retain(|answer| answer.frame == main);
        let mut found = Vec::new();
        for check in checks {
            // The probe answers on every marked page, if only that it saw nothing.
            let answer = answers.iter().find(|answer| answer.check == check.meta().id)?;
            found.push(ProbeAnswer {
                frame: frame.clone(),
                ..answer.clone()
            });
        }
        Some(found)
    }
}

/// Whether a page that was loaded once more is the one that it was, but for what scripts make of its address.
fn is_same(marked: &Page, plain: &Page) -> bool {
    let document = |page: &Page| {
        let url = Url::parse(&page.url).ok()?;
        Some((url.origin(), url.path().to_owned()))
    };
    marked.status == plain.status
        && marked.redirects.is_empty()
        && marked.broken_off.is_none()
        && marked.cut_short <= plain.cut_short
        && document(marked) == document(plain)
}
