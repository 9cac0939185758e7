//! Of what a picture is taken.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use phantom_checks::Observation;
use phantom_checks::evidence::Evidence;

use crate::browser::Spot;
use crate::config::Screenshots;
use crate::site::SiteId;
use crate::triage::Fingerprint;

/// Pictures of one page.
const MOST_OF_PAGE: usize = 4;
/// Findings of one scan that get a picture.
const MOST_OF_SCAN: usize = 300;
/// Pages on which a picture of one finding is tried: what cannot be shown on these will not be on others.
const MOST_TRIES: u8 = 3;

/// Which findings of a scan have a picture by now. Each gets one.
pub(super) struct Pictures {
    mode: Screenshots,
    tries: Mutex<HashMap<Fingerprint, u8>>,
}

impl Pictures {
    pub fn new(mode: Screenshots) -> Self {
        Self {
            mode,
            tries: Mutex::default(),
        }
    }

    /// What is to be shown of a page, and for which finding. Each is counted as a try.
    pub fn wanted(&self, site: &SiteId, evidence: &Evidence, seen: &[Observation]) -> Vec<(Fingerprint, Spot)> {
        if self.mode == Screenshots::None {
            return Vec::new();
        }
        let Some(main) = evidence.main_frame() else {
            return Vec::new();
        };
        let mut wanted = Vec::new();
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for observation in seen.iter().filter(|one| !one.third_party) {
            let selector = selector(evidence, &main.id, observation);
            if wanted.len() >= MOST_OF_PAGE || (selector.is_none() && self.mode != Screenshots::All) {
                continue;
            }
            let fingerprint = Fingerprint::of(site, &observation.check, &observation.cause);
            if tries.len() >= MOST_OF_SCAN && !tries.contains_key(&fingerprint) {
                continue;
            }
            let count = tries.entry(fingerprint.clone()).or_default();
            if *count < MOST_TRIES {
                *count += 1;
                let document = main.url.clone();
                wanted.push((fingerprint, Spot { selector, document }));
            }
        }
        wanted
    }

    /// A finding has its picture.
    pub fn taken(&self, fingerprint: &Fingerprint) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.insert(fingerprint.clone(), MOST_TRIES);
    }
}

/// What finds the element that an observation is about, if that is in the main frame and in no shadow root. Checks name
/// it in a fact.
fn selector(evidence: &Evidence, main: &str, observation: &Observation) -> Option<String> {
    let fact = |label: &str| observation.facts.iter().find(|fact| fact.label == label);
    let selector = &fact("selector")?.value;
    let snippet = fact("form").map(|fact| fact.value.as_str());
    let mut forms = evidence
        .forms
        .iter()
        .filter(|form| form.selector == *selector && snippet.is_none_or(|snippet| form.snippet.starts_with(snippet)))
        .peekable();
    let elsewhere = forms.peek().is_some() && !forms.any(|form| form.frame == main && !form.in_shadow_root);
    (!elsewhere).then(|| selector.clone())
}

#[cfg(test)]
mod tests {
    use phantom_checks::evidence::{Form, Frame, FrameKind, Page};
    use phantom_checks::{Cause, Confidence, Fact, Severity};

    use super::*;

    fn evidence() -> Evidence {
        let form = |frame: &str, selector: &str, in_shadow_root| Form {
            frame: frame.to_owned(),
            selector: selector.to_owned(),
            in_shadow_root,
            ..Form::default()
        };
        let mut evidence = Evidence::of(Page::default());
        evidence.frames.push(Frame {
            id: "main".to_owned(),
            parent: None,
            url: "https://shop.test/".to_owned(),
            origin: String::new(),
            kind: FrameKind::Main,
            captured: true,
        });
        evidence.forms = vec![
            form("main", "#a", false),
            form("child", "#b", false),
            form("main", "#c", true),
        ];
        evidence
    }

    fn about(host: &str, selector: Option<&str>) -> Observation {
        Observation {
            check: "insecure-form".to_owned(),
            check_version: 1,
            severity: Severity::High,
            confidence: Confidence::Firm,
            title: String::new(),
            cause: Cause::new(1, [("host", host.to_owned())]),
            aliases: Vec::new(),
            facts: selector.map(|text| Fact::new("selector", text)).into_iter().collect(),
            third_party: false,
        }
    }

    #[test]
    fn each_finding_with_an_element_in_the_main_frame_gets_one_picture() {
        let site = SiteId("shop".to_owned());
        let seen: Vec<Observation> = [Some("#a"), Some("#b"), Some("#c"), Some("#d"), None]
            .iter()
            .enumerate()
            .map(|(at, selector)| about(&format!("h{at}"), *selector))
            .collect();
        let shown = |pictures: &Pictures| -> Vec<Option<String>> {
            let wanted = pictures.wanted(&site, &evidence(), &seen);
            wanted.into_iter().map(|(_, spot)| spot.selector).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let pictures = Pictures::new(Screenshots::Findings);
        assert_eq!(shown(&pictures), [some("#a"), some("#d")]);
        pictures.taken(&Fingerprint::of(&site, &seen[0].check, &seen[0].cause));
        assert_eq!(shown(&pictures), [some("#d")]);
        assert_eq!(shown(&pictures), [some("#d")]);
        assert!(shown(&pictures).is_empty(), "three tries");
        assert_eq!(shown(&Pictures::new(Screenshots::All)).len(), 4);
        assert!(shown(&Pictures::new(Screenshots::None)).is_empty());
    }
}
