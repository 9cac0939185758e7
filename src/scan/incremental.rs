//! Pages that a night takes as seen, because nothing of them changed. [`unchanged`] decides; here its parts are asked
//! for, and what is known of the page is recorded once more.
//!
//! Such a page adds nothing to what this scan has seen itself. Only findings that the scan has met already on a page that
//! it looked at are repeated; a page on which another one was known is looked at. So no finding is `not observed` because
//! its page was not looked at, and none stays or returns on the word of an old look alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use phantom_checks::Observation;
use phantom_checks::evidence::ResourceKind;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use url::Url;

use super::inspect::Inspector;
use super::run::Run;
use super::worker::Worker;
use super::{ScanError, Trigger};
use crate::browser::{CaptureScript, StateCookie};
use crate::crawl::unchanged::{Answer, Look, Part, Rules, SetCookie, compare, parts};
use crate::crawl::{Completion, Lease, PageMark, PageOutcome, PastLook};
use crate::egress::Fetched;
use crate::site::{self, Site};
use crate::triage::Fingerprint;

/// Bytes of one part that are read; what is longer counts as changed.
const MOST_BYTES: usize = 8 << 20;
/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Parts of a scan whose answers are remembered.
const MOST_ANSWERS: usize = 20_000;
/// What browsers accept of a page.
const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// What a scan needs to take pages as seen, or to prepare that for a later one.
pub(super) struct Incremental {
    rules: site::Incremental,
    basis: String,
    answers: Mutex<HashMap<Url, Arc<OnceCell<Option<Answer>>>>>,
    /// Findings that this scan has seen on a page that it looked at.
    met: Mutex<HashSet<Fingerprint>>,
}

/// A page that is taken as seen.
pub(super) struct Taken {
    past: PastLook,
    observations: Vec<Observation>,
}

impl Incremental {
    /// `None` if the site's file does not ask for it.
    pub fn of(site: &Site, trigger: Trigger, inspector: &Inspector, script: &CaptureScript) -> Option<Self> {
        let rules = site.incremental.clone()?;
        if trigger.is_look() || (site.login.is_some() && !rules.logged_in) {
            return None;
        }
        let checks: Vec<_> = inspector
            .checks()
            .iter()
            .map(|check| (check.meta().id, check.meta().version))
            .collect();
        let made_of = serde_json::json!([
            env!("CARGO_PKG_VERSION"),
            inspector.advisories(),
            checks,
            script.expression(),
            site.facts,
            site.explore,
            site.client,
            site.login.is_some(),
        ]);
        Some(Self {
            rules,
            basis: hex::encode(&Sha256::digest(made_of.to_string().as_bytes())[..16]),
            answers: Mutex::default(),
            met: Mutex::default(),
        })
    }

    /// What is kept beside the evidence of a page that was looked at.
    pub fn mark(&self, looked_at: jiff::Timestamp) -> PageMark {
        PageMark {
            basis: self.basis.clone(),
            looked_at,
            unchanged: false,
        }
    }

    fn answer_to(&self, url: &Url) -> Arc<OnceCell<Option<Answer>>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST_ANSWERS {
            answers.clear();
        }
        Arc::clone(answers.entry(url.clone()).or_default())
    }

    fn has_met(&self, fingerprint: &Fingerprint) -> bool {
        self.met
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(fingerprint)
    }

    fn meet(&self, fingerprint: Fingerprint) {
        self.met
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(fingerprint);
    }
}

impl Run {
    /// What is known of a leased page, if it has not changed since it was looked at. `None` if it is to be looked at.
    pub(super) async fn take_as_seen(&self, lease: &Lease) -> Result<Option<Taken>, ScanError> {
        let Some(incremental) = &self.incremental else {
            return Ok(None);
        };
        let nightly = self.record.trigger == Trigger::Nightly;
        // A start page begins the session, and a witness is looked at because it proves something.
        if !nightly || lease.depth == 0 || self.is_pinned(&lease.key) || lease.alone || lease.crashes > 0 {
            return Ok(None);
        }
        let past = self.store.past_look(&self.site.id, &lease.key, &self.scan).await?;
        let Some(past) = past else { return Ok(None) };
        let is_own = |host: &str| self.scope().names_host(host);
        let rules = Rules {
            full_look: incremental.rules.full_look,
            third_party: incremental.rules.third_party,
            basis: &incremental.basis,
            now: self.record.started,
            is_own: &is_own,
        };
        let taken = match parts(&lease.key.0, &past, &rules) {
            Err(why) => Err(why),
            Ok(parts) => match self.known(incremental, &past).await? {
                Err(why) => Err(why),
                Ok(observations) => {
                    let same = self.all_same(incremental, &parts, &past).await;
                    same.map(|()| observations)
                }
            },
        };
        Ok(match taken {
            Ok(observations) => Some(Taken { past, observations }),
            Err(why) => {
                tracing::debug!(page = %lease.key, scan = %self.scan, %why, "looked at in full");
                None
            }
        })
    }

    /// What the checks say of the evidence, if this scan has met all of it already.
    async fn known(
        &self,
        incremental: &Incremental,
        past: &PastLook,
    ) -> Result<Result<Vec<Observation>, Look>, ScanError> {
        let hashes = past.evidence.scripts.iter().filter_map(|script| script.hash.clone());
        let hashes: Vec<String> = hashes.collect::<HashSet<_>>().into_iter().collect();
        let texts = self.store.bodies(&hashes).await?;
        if texts.len() < hashes.len() {
            return Ok(Err(Look::InPart));
        }
        let texts: BTreeMap<String, Arc<str>> = texts.into_iter().map(|(hash, text)| (hash, text.into())).collect();
        let (inspected, questions) = self.inspector.run(&past.evidence, &texts);
        if !questions.is_empty() || !inspected.failed_checks.is_empty() {
            return Ok(Err(Look::OtherBasis));
        }
        for observation in &inspected.observations {
            let fingerprint = Fingerprint::of(&self.site.id, &observation.check, &observation.cause);
            if incremental.has_met(&fingerprint) {
                continue;
            }
            let finding = self.store.finding(&fingerprint).await?;
            if finding.is_none_or(|finding| finding.last_scan != self.scan) {
                return Ok(Err(Look::CannotTell(format!("{} there", observation.check))));
            }
            incremental.meet(fingerprint);
        }
        Ok(Ok(inspected.observations))
    }

    /// Asks for a page's parts, its document first, until one is not as it was.
    async fn all_same(&self, incremental: &Incremental, parts: &[Part], past: &PastLook) -> Result<(), Look> {
        for part in parts {
            let answer = if part.kind == ResourceKind::Document {
                // What the page loads beside it comes along, as it would in a browser.
                self.wait_for_turn(&part.url).await;
                self.ask_part(part).await
            } else {
                let known = incremental.answer_to(&part.url);
                known.get_or_init(|| self.ask_part(part)).await.clone()
            };
            let answer = answer.ok_or_else(|| Look::CannotTell(part.url.to_string()))?;
            compare(part, &answer, &past.evidence)?;
        }
        Ok(())
    }

    async fn ask_part(&self, part: &Part) -> Option<Answer> {
        let mut headers = self.headers_for(&part.url).to_vec();
        let accept = if part.kind == ResourceKind::Document {
            ACCEPT
        } else {
            "*/*"
        };
        headers.push(("accept".to_owned(), accept.to_owned()));
        let own = part.url.host_str().is_some_and(|host| self.scope().names_host(host));
        if let Some(locale) = &self.site.client.device.locale {
            headers.push(("accept-language".to_owned(), locale.clone()));
        }
        let (session, _) = self.pool.session();
        headers.extend(cookies(&session.cookies, &part.url).filter(|_| own));
        let asked = self.fetcher.get(&part.url, &headers, MOST_BYTES, PATIENCE);
        let fetched = self.stop.run_until_cancelled(asked).await?.ok()?;
        (!fetched.truncated).then(|| self.answer(part.kind, &fetched))
    }

    fn answer(&self, kind: ResourceKind, fetched: &Fetched) -> Answer {
        let headers = fetched.headers.iter();
        let sets = fetched.headers.iter().filter(|(name, _)| name == "set-cookie");
        Answer {
            status: fetched.status,
            mark: self.redactor.mark(kind, &String::from_utf8_lossy(&fetched.body)),
            headers: headers.map(|(name, value)| self.redactor.header(name, value)).collect(),
            cookies: sets.filter_map(|(_, value)| SetCookie::parse(value)).collect(),
        }
    }
}

impl Worker {
    /// Records a page that is taken as seen: what is known of it, once more.
    pub(super) async fn record_taken(&self, lease: &Lease, taken: Taken, began: Instant) -> Result<(), ScanError> {
        let run = &self.run;
        let Taken { past, observations } = taken;
        let evidence = &past.evidence;
        self.learn_linked_robots(evidence).await;
        let found = run.rules().links().found_on(evidence, &lease.key, lease.depth);
        run.saw_alike(lease, evidence.page.look.as_ref());
        let found = run.bounded(found.pages);
        let hosts = run.organisation.unseen_on(evidence, run.scope());
        let mark = PageMark {
            unchanged: true,
            ..past.mark.clone()
        };
        run.keep_sessions(evidence).await?;
        let recorded = run
            .store
            .complete(&Completion {
                lease,
                now: run.now(),
                outcome: PageOutcome::Done,
                recorded_as: None,
                evidence: Some(evidence),
                bodies: &BTreeMap::new(),
                observations: &observations,
                failed_checks: &[],
                found: &found,
                obstacle: None,
                hosts: &hosts,
                mark: Some(&mark),
            })
            .await?;
        run.looked();
        if !recorded {
            return Ok(());
        }
        run.added(1);
        run.organisation.told(hosts);
        self.tell_findings(lease, &observations, began).await
    }
}

/// The header with the cookies that a browser would send.
fn cookies(all: &[StateCookie], url: &Url) -> std::option::IntoIter<(String, String)> {
    let host = url.host_str().unwrap_or_default();
    let fits = |cookie: &&StateCookie| {
        let domain = match cookie.domain.strip_prefix('.') {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            None => host == cookie.domain,
        };
        let rest = url.path().strip_prefix(cookie.path.trim_end_matches('/'));
        let path = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        domain && path && (!cookie.secure || url.scheme() == "https")
    };
    let pairs: Vec<String> = all
        .iter()
        .filter(fits)
        .map(|cookie| format!("{}={}", cookie.name, cookie.value))
        .collect();
    let header = (!pairs.is_empty()).then(|| ("cookie".to_owned(), pairs.join("; ")));
    header.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(name: &str, domain: &str, path: &str, secure: bool) -> StateCookie {
        StateCookie {
            name: name.to_owned(),
            value: "1".to_owned(),
            domain: domain.to_owned(),
            path: path.to_owned(),
            expires: -1.0,
            http_only: false,
            secure,
            same_site: None,
        }
    }

    #[test]
    fn cookies_go_where_a_browser_would_send_them() {
        let all = [
            cookie("all", ".shop.test", "/", false),
            cookie("one", "www.shop.test", "/", true),
            cookie("below", "www.shop.test", "/account", false),
            cookie("other", "help.shop.test", "/", false),
        ];
        let cases = [
            ("https://www.shop.test/account/me", Some("all=1; one=1; below=1")),
            ("https://www.shop.test/accounts", Some("all=1; one=1")),
            ("http://www.shop.test/", Some("all=1")),
            ("https://shop.test/", Some("all=1")),
            ("https://notshop.test/", None),
        ];
        for (url, expected) in cases {
            let header = cookies(&all, &Url::parse(url).unwrap()).next();
            assert_eq!(header.map(|(_, value)| value).as_deref(), expected, "{url}");
        }
    }
}
