//! Records what came of a page, and tells of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use url::Url;

use super::{Looked, Worker};
use crate::browser::Captured;
use crate::crawl::{Completion, Found, Lease, NewPage, PageOutcome};
use crate::scan::run::Run;
use crate::scan::scanner::document_url;
use crate::scan::{ScanError, ScanEvent};

impl Worker {
    pub(super) async fn record(&self, lease: &Lease, looked: Looked, began: Instant) -> Result<(), ScanError> {
        let run = Arc::clone(&self.run);
        let Looked {
            captured,
            inspected,
            instead,
        } = looked;
        let foreign = instead.as_ref().is_some_and(|instead| instead.what.is_foreign());
        let obstacle = instead.as_ref().map(ToString::to_string);
        if let Some(instead) = &instead
            && lease.depth == 0
            && instead.what.blocks()
        {
            run.remark(format!("the start page {} was not reached: {instead}", lease.url));
        }
        inspected.failures.into_iter().for_each(|failure| run.remark(failure));
        if captured.evidence.page.cut_short {
            run.remark(never_loaded(&lease.url, captured.evidence.page.waited_for.as_deref()));
        }
        let in_part = captured.evidence.page.broken_off.clone();
        let in_part = in_part.map(|why| format!("{why}; it was looked at as far as it came"));
        if let Some(why) = in_part.as_ref().filter(|_| lease.depth == 0) {
            run.remark(format!("the start page {} was seen in part: {why}", lease.url));
        }
        // What was seen in part says nothing of where it led to: that page may be asked for by itself.
        let recorded_as = redirected_to(&run, lease, &captured).filter(|_| in_part.is_none());
        let at = recorded_as.as_ref().map_or(&lease.key, |page| &page.key);
        let found = if run.record.trigger.is_look() || foreign {
            Found::default()
        } else {
            run.rules().links().found_on(&captured.evidence, at, lease.depth)
        };
        found.remarks.into_iter().for_each(|remark| run.remark(remark));
        if instead.is_none() {
            run.saw_alike(lease, captured.evidence.page.look.as_ref());
        } else {
            // Of the pages that are alike, it was none.
            run.give_alike_back(lease);
        }
        let found = run.bounded(found.pages);
        let hosts = if run.record.trigger.is_look() {
            Vec::new()
        } else {
            run.organisation.unseen_on(&captured.evidence, run.scope())
        };
        let bodies: BTreeMap<String, String> = run.unstored(captured.scripts.iter()).into_iter().collect();
        let led_on = recorded_as.is_some();
        let looked_at = run.now() - jiff::SignedDuration::try_from(began.elapsed()).unwrap_or_default();
        let plain = !led_on && instead.is_none() && in_part.is_none();
        let mark = run
            .incremental
            .as_ref()
            .filter(|_| plain)
            .map(|one| one.mark(looked_at));
        if !foreign {
            run.keep_sessions(&captured.evidence).await?;
        }
        let recorded = run
            .store
            .complete(&Completion {
                lease,
                now: run.now(),
                outcome: match &in_part {
                    Some(why) => PageOutcome::Failed(why.clone()),
                    None if led_on => PageOutcome::Redirected,
                    None => PageOutcome::Done,
                },
                recorded_as,
                evidence: Some(&captured.evidence),
                bodies: &bodies,
                observations: &inspected.observations,
                failed_checks: &inspected.failed_checks,
                found: &found,
                obstacle: obstacle.as_deref(),
                hosts: &hosts,
                mark: mark.as_ref(),
            })
            .await?;
        run.looked();
        if !recorded {
            tracing::info!(page = %lease.key, "the lease ran out before the page was recorded; another worker has it");
            return Ok(());
        }
        run.added(if led_on { 2 } else { 1 });
        run.stored(bodies.into_keys());
        run.organisation.told(hosts);
        for picture in &inspected.pictures {
            run.store.keep_picture(picture).await?;
        }
        let Some(reason) = in_part else {
            return self.tell_findings(lease, &inspected.observations, began).await;
        };
        self.tell_each(&inspected.observations).await?;
        let (tab, url) = (self.number, lease.url.to_string());
        run.tell(ScanEvent::PageFailed { tab, url, reason });
        Ok(())
    }

    pub(in crate::scan) async fn tell_findings(
        &self,
        lease: &Lease,
        observations: &[phantom_checks::Observation],
        began: Instant,
    ) -> Result<(), ScanError> {
        let run = &self.run;
        let findings_new = self.tell_each(observations).await?;
        let url = lease.url.to_string();
        run.tell(ScanEvent::PageDone {
            tab: self.number,
            url,
            took: began.elapsed(),
            findings_new,
        });
        Ok(())
    }

    /// Tells of findings. Returns how many are new.
    async fn tell_each(&self, observations: &[phantom_checks::Observation]) -> Result<u64, ScanError> {
        let run = &self.run;
        let mut findings_new = 0;
        for observation in observations {
            let fingerprint = crate::triage::Fingerprint::of(&run.site.id, &observation.check, &observation.cause);
            let new = run.is_new(&fingerprint).await?;
            findings_new += u64::from(new);
            run.tell(ScanEvent::Finding {
                fingerprint,
                check: observation.check.clone(),
                severity: observation.severity,
                confidence: observation.confidence,
                title: observation.title.clone(),
                new,
            });
        }
        Ok(findings_new)
    }

    pub(super) async fn record_loss(&self, lease: &Lease, outcome: PageOutcome) -> Result<(), ScanError> {
        let run = &self.run;
        let (PageOutcome::Failed(reason) | PageOutcome::Skipped(reason)) = &outcome else {
            return Ok(());
        };
        let (tab, url, reason) = (self.number, lease.url.to_string(), reason.clone());
        let failed = matches!(outcome, PageOutcome::Failed(_));
        let recorded = self.lose(lease, outcome).await?;
        if failed {
            run.looked();
            run.added(u64::from(recorded));
        }
        if recorded && lease.depth == 0 {
            run.remark(format!("the start page {url} was not reached: {reason}"));
        }
        run.tell(if failed {
            ScanEvent::PageFailed { tab, url, reason }
        } else {
            ScanEvent::PageLeft { tab, url, reason }
        });
        if !failed {
            // Only pages that were rendered count against the budget.
            run.give_page_back();
            run.give_alike_back(lease);
        }
        Ok(())
    }

    /// Records a page of which nothing was seen.
    pub(super) async fn lose(&self, lease: &Lease, outcome: PageOutcome) -> Result<bool, ScanError> {
        let run = &self.run;
        let completion = Completion::of(lease, run.now(), outcome);
        Ok(run.store.complete(&completion).await?)
    }
}

fn never_loaded(url: &Url, waited_for: Option<&str>) -> String {
    let waited_for = waited_for.filter(|resource| *resource != url.as_str());
    let waited_for = waited_for.map_or_else(String::new, |resource| format!(" (it waited for {resource})"));
    format!("{url} never finished loading{waited_for}; it was looked at as far as it came")
}

/// The page that a redirect led to, if it is another page of the site.
fn redirected_to(run: &Run, lease: &Lease, captured: &Captured) -> Option<NewPage> {
    let mut url = Url::parse(document_url(&captured.evidence)).ok()?;
    if url.fragment().is_none() {
        // Browsers carry it over a redirect.
        url.set_fragment(lease.url.fragment());
    }
    let page = run.rules().page(&url, lease.depth, Some(&lease.key)).ok()?;
    (page.key != lease.key).then_some(page)
}
