//! One worker: leases a page, renders it in its tab, has it inspected, records it, and takes the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use url::Url;

use super::run::Run;
use super::scanner::document_url;
use super::{ScanError, ScanEvent};
use crate::browser::{Captured, PageRequest, RenderError, Slot, Visit};
use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageOutcome, pace, wait_after};

/// After a stop, pages in flight get this long to end by themselves.
const GRACE: Duration = Duration::from_millis(1_500);
/// A page that ended its browser this often is not tried again.
const MOST_CRASHES: u32 = 3;
/// A host that asks to be left alone this often in a row is taken at its word.
const MOST_WAITS: u32 = 4;
/// Workers look at the frontier at least this often: another process may have changed it.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    run: Arc<Run>,
    number: usize,
    slot: Slot,
    waits: u32,
}

/// What a rendered page comes to.
enum Seen {
    Page(Box<Captured>),
    /// It cannot be looked at, and trying again would not help.
    Not(PageOutcome),
    /// It goes back to the frontier.
    Again {
        why: String,
        crashed: bool,
        host_waits: Option<Duration>,
    },
}

impl Worker {
    pub fn new(run: Arc<Run>, number: usize) -> Self {
        let slot = run.pool.slot(number);
        Self {
            run,
            number,
            slot,
            waits: 0,
        }
    }

    /// Gives the cookies of this worker's browser to all others.
    pub async fn share_session(&self) {
        self.run.pool.share_cookies(&self.slot).await;
    }

    /// Looks at pages until none is left.
    pub async fn all_pages(&mut self) -> Result<(), ScanError> {
        while self.one_page().await? {}
        self.slot.close().await;
        Ok(())
    }

    /// Looks at the next page. False if there is none, or the scan ends.
    pub async fn one_page(&mut self) -> Result<bool, ScanError> {
        let Some(lease) = self.lease().await? else {
            return Ok(false);
        };
        let began = Instant::now();
        let url = lease.url.to_string();
        self.run.tell(ScanEvent::PageStarted {
            tab: self.number,
            url: url.clone(),
        });
        match self.look_at(&lease).await? {
            Seen::Page(captured) => self.record(&lease, *captured, began).await?,
            Seen::Not(outcome) => self.record_loss(&lease, outcome).await?,
            Seen::Again {
                why,
                crashed,
                host_waits,
            } => {
                if let Some(wait) = host_waits {
                    let until = Timestamp::now() + jiff::SignedDuration::try_from(wait).unwrap_or_default();
                    self.run
                        .store
                        .hold_host(lease.url.host_str().unwrap_or_default(), until)
                        .await?;
                }
                self.run.store.release(&lease, crashed).await?;
                self.run.give_page_back();
                self.run.tell(ScanEvent::PageLeft {
                    tab: self.number,
                    url,
                    reason: why,
                });
            }
        }
        self.run.changed.notify_waiters();
        self.run
            .tell(ScanEvent::Counts(self.run.store.counts(&self.run.scan).await?));
        Ok(true)
    }

    async fn lease(&self) -> Result<Option<Lease>, ScanError> {
        let run = &self.run;
        loop {
            let changed = run.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if run.stop.is_cancelled() || run.give_up.is_cancelled() || !run.take_page() {
                return Ok(None);
            }
            let delay = run
                .site
                .start
                .first()
                .and_then(|start| run.robots().of(start)?.crawl_delay());
            let request = LeaseRequest {
                scan: &run.scan,
                owner: &run.owner,
                max: 1,
                ttl: run.page_deadline * 2 + Duration::from_mins(1),
                now: Timestamp::now(),
                pace: pace(&run.site.limits, delay),
                concurrency: run.site.limits.concurrency,
            };
            if let Some(lease) = run.store.lease(&request).await?.pop() {
                return Ok(Some(lease));
            }
            run.give_page_back();
            let Some(next) = run.store.next_lease_at(&request).await? else {
                return Ok(None);
            };
            let wait = Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait.clamp(Duration::from_millis(1), LONGEST_SLEEP)) => {}
                () = run.stop.cancelled() => {}
                () = run.give_up.cancelled() => {}
            }
        }
    }

    async fn look_at(&mut self, lease: &Lease) -> Result<Seen, ScanError> {
        let run = Arc::clone(&self.run);
        run.learn_robots(&lease.url).await;
        if !run.robots().allows(&lease.url) {
            return Ok(Seen::Not(PageOutcome::Skipped("disallowed by robots.txt".to_owned())));
        }
        let request = PageRequest {
            url: lease.url.to_string(),
            deadline: run.page_deadline,
            may_visit: run.may_visit(),
            script: run.script.clone(),
            redactor: run.redactor.clone(),
            scripts: Arc::clone(&run.scripts),
        };
        let rendered = tokio::select! {
            rendered = self.slot.render(&request, lease.alone) => rendered,
            () = grace_over(&run) => {
                return Ok(Seen::Again { why: "the scan was stopped".to_owned(), crashed: false, host_waits: None });
            }
        };
        run.tell_restarts("it died or hung, and was replaced");
        match rendered {
            Ok(visit) => Ok(self.judge(lease, visit)),
            Err(RenderError::Died(why)) if lease.alone && lease.crashes >= MOST_CRASHES => Ok(Seen::Not(
                PageOutcome::Failed(format!("it ended its browser {MOST_CRASHES} times while alone: {why}")),
            )),
            Err(RenderError::Died(why)) => Ok(Seen::Again {
                why,
                crashed: true,
                host_waits: None,
            }),
            Err(RenderError::NoBrowser(error)) => {
                run.store.release(lease, false).await?;
                Err(error.into())
            }
            Err(error @ (RenderError::Deadline(_) | RenderError::Browser(_))) => {
                Ok(Seen::Not(PageOutcome::Failed(error.to_string())))
            }
        }
    }

    fn judge(&mut self, lease: &Lease, visit: Visit) -> Seen {
        let captured = match visit {
            Visit::Page(captured) => captured,
            Visit::NotAPage { what } => return Seen::Not(PageOutcome::Skipped(what)),
            Visit::LeftScope { to } => {
                let to = crate::browser::url_without_secrets(&to);
                return Seen::Not(PageOutcome::Skipped(format!(
                    "redirects to {to}, which is not to be visited"
                )));
            }
            Visit::Unreachable { error } if error == "net::ERR_TOO_MANY_REDIRECTS" => {
                return Seen::Not(PageOutcome::Skipped("redirects in a circle".to_owned()));
            }
            Visit::Unreachable { error } => return Seen::Not(PageOutcome::Failed(self.explain(&lease.url, error))),
        };
        let page = &captured.evidence.page;
        let status = page.status.unwrap_or(200);
        if let Some(wait) = wait_after(status, page.header("retry-after"), self.waits, Timestamp::now()) {
            self.waits += 1;
            if self.waits <= MOST_WAITS {
                let why = format!(
                    "the server answered {status} and is left alone for {} s",
                    wait.as_secs()
                );
                return Seen::Again {
                    why,
                    crashed: false,
                    host_waits: Some(wait),
                };
            }
        }
        self.waits = 0;
        match status {
            429 | 500.. => Seen::Not(PageOutcome::Failed(format!("the server answered {status}"))),
            400.. => Seen::Not(PageOutcome::Skipped(format!("the server answered {status}"))),
            _ if captured
                .evidence
                .page
                .mime
                .as_deref()
                .is_some_and(|mime| !is_page(mime)) =>
            {
                Seen::Not(PageOutcome::Skipped(format!(
                    "not a page: {}",
                    page.mime.as_deref().unwrap_or_default()
                )))
            }
            _ => Seen::Page(captured),
        }
    }

    /// Chromium only says that the proxy did not connect; the proxy knows why.
    fn explain(&self, url: &Url, error: String) -> String {
        let port = url.port_or_known_default().unwrap_or(443);
        match self.run.egress.last_error(url.host_str().unwrap_or_default(), port) {
            Some(why) => why.to_string(),
            None => error,
        }
    }

    async fn record(&mut self, lease: &Lease, mut captured: Captured, began: Instant) -> Result<(), ScanError> {
        let run = Arc::clone(&self.run);
        let inspected = run.inspector.inspect(&mut captured.evidence, &captured.scripts).await;
        inspected.failures.into_iter().for_each(|failure| run.remark(failure));
        if captured.evidence.page.cut_short {
            run.remark(format!(
                "{} never finished loading; it was looked at as far as it came",
                lease.url
            ));
        }
        self.learn_linked_robots(&captured).await;
        let recorded_as = redirected_to(&run, lease, &captured);
        let at = recorded_as.as_ref().map_or(&lease.key, |page| &page.key);
        let found = run.rules().links().found_on(&captured.evidence, at, lease.depth);
        found.remarks.into_iter().for_each(|remark| run.remark(remark));
        let bodies: BTreeMap<String, String> = run.unstored(captured.scripts.iter()).into_iter().collect();
        let recorded = run
            .store
            .complete(&Completion {
                lease,
                now: Timestamp::now(),
                outcome: if recorded_as.is_some() {
                    PageOutcome::Redirected
                } else {
                    PageOutcome::Done
                },
                recorded_as,
                evidence: Some(&captured.evidence),
                bodies: &bodies,
                observations: &inspected.observations,
                found: &found.pages,
            })
            .await?;
        if !recorded {
            tracing::info!(page = %lease.key, "the lease ran out before the page was recorded; another worker has it");
            return Ok(());
        }
        run.stored(bodies.into_keys());
        self.tell_findings(lease, &inspected.observations, began).await
    }

    async fn tell_findings(
        &self,
        lease: &Lease,
        observations: &[phantom_checks::Observation],
        began: Instant,
    ) -> Result<(), ScanError> {
        let run = &self.run;
        let mut findings_new = 0;
        for observation in observations {
            let fingerprint = crate::triage::Fingerprint::of(&run.site.id, &observation.check, &observation.cause);
            let finding = run.store.finding(&fingerprint).await?;
            let new = finding.is_some_and(|finding| finding.first_scan == run.scan);
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
        let url = lease.url.to_string();
        run.tell(ScanEvent::PageDone {
            tab: self.number,
            url,
            took: began.elapsed(),
            findings_new,
        });
        Ok(())
    }

    async fn learn_linked_robots(&self, captured: &Captured) {
        for link in &captured.evidence.links {
            if let Ok(url) = Url::parse(&link.url)
                && self.run.robots().lacks(&url)
                && self.run.scope().admits(&url).is_ok()
            {
                self.run.learn_robots(&url).await;
            }
        }
    }

    async fn record_loss(&self, lease: &Lease, outcome: PageOutcome) -> Result<(), ScanError> {
        let run = &self.run;
        let (PageOutcome::Failed(reason) | PageOutcome::Skipped(reason)) = &outcome else {
            return Ok(());
        };
        let (tab, url, reason) = (self.number, lease.url.to_string(), reason.clone());
        let failed = matches!(outcome, PageOutcome::Failed(_));
        let recorded = run
            .store
            .complete(&Completion {
                lease,
                now: Timestamp::now(),
                outcome,
                recorded_as: None,
                evidence: None,
                bodies: &BTreeMap::new(),
                observations: &[],
                found: &[],
            })
            .await?;
        if recorded && lease.depth == 0 {
            run.lose_start(&lease.url, &reason);
        }
        run.tell(if failed {
            ScanEvent::PageFailed { tab, url, reason }
        } else {
            ScanEvent::PageLeft { tab, url, reason }
        });
        if !failed {
            // Only pages that were rendered count against the budget.
            run.give_page_back();
        }
        Ok(())
    }
}

/// The page that a redirect led to, if it is another page of the site.
fn redirected_to(run: &Run, lease: &Lease, captured: &Captured) -> Option<NewPage> {
    let url = Url::parse(document_url(&captured.evidence)).ok()?;
    let page = run.rules().page(&url, lease.depth, Some(&lease.key)).ok()?;
    (page.key != lease.key).then_some(page)
}

fn is_page(mime: &str) -> bool {
    mime.starts_with("text/")
        || mime.ends_with("/xhtml+xml")
        || mime.ends_with("/xml")
        || mime.ends_with("/json")
        || mime == "image/svg+xml"
        || mime.is_empty()
}

async fn grace_over(run: &Run) {
    run.stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
