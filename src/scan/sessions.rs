//! Sessions that begin on one page and matter on others.
//!
//! Pages are visited in any order, by several browsers. What a session makes of a page must not depend on whether it had
//! begun when the page was seen, or a finding would come and go with the order. So its cookies are kept for the whole
//! scan, and in its end the pages that were seen without them are looked at again, over their evidence.

use std::collections::HashSet;

use phantom_checks::evidence::{Cookie, Evidence};
use phantom_checks::is_session;

use super::run::Run;
use super::{ScanError, ScanEvent};
use crate::crawl::PageState;
use crate::store::StoreError;
use crate::triage::{Fingerprint, PageLook};

/// Session cookies that are kept of one scan.
const MOST_SESSIONS: usize = 200;

/// What a cookie is known by: its name, domain and path.
pub(super) type CookieKey = (String, String, String);

fn key_of(cookie: &Cookie) -> CookieKey {
    (cookie.name.clone(), cookie.domain.clone(), cookie.path.clone())
}

impl Run {
    /// Keeps the session cookies of a page that this process has not told the store yet.
    pub async fn keep_sessions(&self, evidence: &Evidence) -> Result<(), StoreError> {
        let new: Vec<Cookie> = {
            let told = self.sessions_told();
            let new = evidence.cookies.iter().filter(|cookie| !told.contains(&key_of(cookie)));
            let room = MOST_SESSIONS.saturating_sub(told.len());
            new.filter(|cookie| is_session(cookie)).take(room).cloned().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        self.store.keep_sessions(&self.scan, &new).await?;
        self.sessions_told().extend(new.iter().map(key_of));
        Ok(())
    }
}

/// Looks at the pages again that were seen without a session that the scan has had elsewhere. A scan that only looks at
/// some pages has the sessions of the last one of its site.
pub(super) async fn look_again(run: &Run, looks: &[PageLook]) -> Result<(), ScanError> {
    let mut sessions = run.store.sessions(&run.scan).await?;
    if run.record.trigger.is_look()
        && let Some(last) = run.store.newest_scan(Some(&run.site.id)).await?
    {
        sessions.extend(run.store.sessions(&last.id).await?);
    }
    if sessions.is_empty() {
        return Ok(());
    }
    let obstacles = looks.iter().filter(|look| look.obstacle.is_some());
    let obstacles: HashSet<&str> = obstacles.map(|look| look.url.as_str()).collect();
    for page in run.store.pages(&run.scan, PageState::Done, u32::MAX).await? {
        if page.redirected_to.is_some() || obstacles.contains(page.url.as_str()) {
            continue;
        }
        let Some(evidence) = run.store.evidence(&run.scan, &page.key).await? else {
            continue;
        };
        let held: HashSet<CookieKey> = evidence.cookies.iter().map(key_of).collect();
        if sessions.iter().all(|cookie| held.contains(&key_of(cookie))) {
            continue;
        }
        let observations = run.inspector.with_sessions(&evidence, &sessions);
        if observations.is_empty() {
            continue;
        }
        run.store
            .observe(&run.scan, &page.key, run.now(), &observations)
            .await?;
        for observation in observations {
            let fingerprint = Fingerprint::of(&run.site.id, &observation.check, &observation.cause);
            let new = run.is_new(&fingerprint).await?;
            run.tell(ScanEvent::Finding {
                fingerprint,
                check: observation.check,
                severity: observation.severity,
                confidence: observation.confidence,
                title: observation.title,
                new,
            });
        }
    }
    Ok(())
}
