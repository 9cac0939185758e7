//! Which http URLs the browser would move to https by itself.

use std::collections::BTreeMap;

use url::{Host, Url};

use crate::answers;
use crate::evidence::{Evidence, Header};

/// What a page's answers told the browser to upgrade.
pub(super) struct Upgrades {
    /// The page has `upgrade-insecure-requests`, which holds for its forms and those of its frames.
    everything: bool,
    /// Hosts with `Strict-Transport-Security`, and whether it holds for names below them.
    strict: BTreeMap<String, bool>,
}

impl Upgrades {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let page = &evidence.page;
        let main = evidence.main_frame().map(|frame| frame.id.as_str());
        let by_header = page
            .headers
            .iter()
            .filter(|header| header.name == "content-security-policy")
            .any(|header| upgrades(&header.value));
        let by_meta = evidence
            .metas
            .iter()
            .filter(|meta| meta.name == "content-security-policy" && Some(meta.frame.as_str()) == main)
            .any(|meta| meta.content.as_deref().is_some_and(upgrades));
        let mut strict = BTreeMap::new();
        note(&mut strict, &page.url, &page.headers);
        for request in &evidence.requests {
            // After a redirect the headers are another URL's.
            let last = request.redirects.last().map_or(&request.url, |hop| &hop.to);
            note(&mut strict, last, &request.headers);
        }
        Self {
            everything: by_header || by_meta,
            strict,
        }
    }

    /// Whether a submission to this http URL would leave the browser as https.
    pub(super) fn cover(&self, target: &Url) -> bool {
        let Some(Host::Domain(host)) = target.host() else {
            return self.everything;
        };
        let mut parent = host;
        let mut below = false;
        loop {
            if let Some(subdomains) = self.strict.get(parent)
                && (!below || *subdomains)
            {
                return true;
            }
            match parent.split_once('.') {
                Some((_, rest)) => (parent, below) = (rest, true),
                None => return self.everything,
            }
        }
    }
}

fn upgrades(policy: &str) -> bool {
    policy
        .split([';', ','])
        .any(|directive| directive.trim().eq_ignore_ascii_case("upgrade-insecure-requests"))
}

/// Notes the policy of an answer, which counts only over https.
fn note(strict: &mut BTreeMap<String, bool>, url: &str, headers: &[Header]) {
    let Ok(url) = Url::parse(url) else { return };
    let (Some(Host::Domain(host)), "https") = (url.host(), url.scheme()) else {
        return;
    };
    let said = answers::value(headers, "strict-transport-security").and_then(answers::strict);
    if let Some(said) = said.filter(|said| said.seconds > 0) {
        strict.insert(host.to_owned(), said.subdomains);
    }
}
