//! Hosts of the organisation that a scan sees and that do not belong to its site. They are never visited; whether a
//! site's file claims them is known to whoever reads the report.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use phantom_checks::evidence::Evidence;
use url::Url;

use crate::site::ScopeRules;

/// Hosts that are kept of one scan.
const MOST_HOSTS: usize = 1_000;

/// The organisation's domains, and which of their hosts were told.
#[derive(Debug)]
pub(super) struct Organisation {
    domains: Vec<String>,
    told: Mutex<BTreeSet<String>>,
}

impl Organisation {
    pub fn new(domains: &[String]) -> Self {
        Self {
            domains: domains.to_vec(),
            told: Mutex::default(),
        }
    }

    /// The hosts on a page, in links, resources, frames and forms, that were not told yet.
    pub fn unseen_on(&self, evidence: &Evidence, scope: &ScopeRules) -> Vec<String> {
        if self.domains.is_empty() {
            return Vec::new();
        }
        let links = evidence.links.iter().map(|link| link.url.as_str());
        let requests = evidence.requests.iter().map(|request| request.url.as_str());
        let hops = evidence
            .page
            .redirects
            .iter()
            .chain(evidence.requests.iter().flat_map(|request| &request.redirects));
        let hops = hops.map(|hop| hop.to.as_str());
        let frames = evidence.frames.iter().map(|frame| frame.url.as_str());
        let forms = evidence.forms.iter().map(|form| form.action.as_str());
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts: BTreeSet<String> = links
            .chain(requests)
            .chain(hops)
            .chain(frames)
            .chain(forms)
            .filter_map(|url| Url::parse(url).ok()?.host_str().map(str::to_owned))
            .filter(|host| self.owns(host) && !scope.names_host(host) && !told.contains(host))
            .collect();
        hosts.into_iter().take(MOST_HOSTS.saturating_sub(told.len())).collect()
    }

    /// These are on record.
    pub fn told(&self, hosts: Vec<String>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(hosts);
    }

    fn owns(&self, host: &str) -> bool {
        self.domains.iter().any(|domain| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|below| below.is_empty() || below.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use phantom_checks::evidence::{Form, Link, LinkSource, Page, Request};

    use super::*;
    use crate::site::Scope;

    #[test]
    fn hosts_of_the_organisation_are_told_once() {
        let scope = Scope {
            include: vec!["https://www.shop.example/**".to_owned()],
            exclude: Vec::new(),
            ignore_query: Vec::new(),
            obey_robots: true,
            allow_private: false,
        };
        let scope = ScopeRules::new(&scope).unwrap();
        let mut evidence = Evidence::of(Page::default());
        evidence.links = [
            "https://promo.shop.example/a",
            "https://www.shop.example/",
            "https://notshop.example/",
        ]
        .map(|url| Link {
            url: url.to_owned(),
            frame: String::new(),
            source: LinkSource::Anchor,
            rel: String::new(),
            session_in_path: false,
            path: Vec::new(),
        })
        .to_vec();
        evidence.requests.push(Request {
            url: "http://CDN.shop.example:8080/a.js".to_owned(),
            ..Request::default()
        });
        evidence.forms.push(Form {
            action: "https://shop.example/in".to_owned(),
            ..Form::default()
        });
        let organisation = Organisation::new(&["shop.example".to_owned()]);
        let seen = organisation.unseen_on(&evidence, &scope);
        assert_eq!(seen, ["cdn.shop.example", "promo.shop.example", "shop.example"]);
        organisation.told(seen);
        assert!(organisation.unseen_on(&evidence, &scope).is_empty());
        assert!(Organisation::new(&[]).unseen_on(&evidence, &scope).is_empty());
    }
}
