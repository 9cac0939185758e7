//! The checks of Phantom Gang: evidence of one page in, observations out.
//!
//! This crate is pure. It knows no browser, no clock, no network and no store, so every check can be run again over
//! evidence that was captured long ago. What evidence cannot tell, a check asks for with a [`Question`].

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")
)]

pub mod cases;
pub mod check;
pub mod docs;
pub mod evidence;
mod fields;
pub mod hosts;
pub mod insecure_form;
pub mod missing_csrf_token;
pub mod mixed_content;
pub mod observation;
mod session_cookie;
pub mod shape;
pub mod stable;
#[cfg(test)]
mod testing;
pub mod vulnerable_library;

pub use check::{Bodies, Check, Meta, Outcome, Probe, SiteFacts, Subject};
pub use docs::Docs;
pub use observation::{Cause, Confidence, Fact, Observation, Question, Severity};

/// Every check there is, in the order in which reports list them. One line a check.
pub fn all() -> &'static [&'static dyn Check] {
    &[
        &mixed_content::MixedContent,
        &insecure_form::InsecureForm,
        &vulnerable_library::VulnerableLibrary,
        &missing_csrf_token::MissingCsrfToken,
    ]
}

/// The check with this id, if there is one.
pub fn by_id(id: &str) -> Option<&'static dyn Check> {
    all().iter().copied().find(|check| check.meta().id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_identified_and_documented() {
        let mut ids = std::collections::BTreeSet::new();
        for check in all() {
            let meta = check.meta();
            let kebab = !meta.id.is_empty()
                && meta
                    .id
                    .split('-')
                    .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert!(kebab, "{} is not in kebab case", meta.id);
            assert!(ids.insert(meta.id), "{} is there twice", meta.id);
            assert!(meta.cwe > 0 && meta.version > 0, "{}", meta.id);
            assert!(!meta.title.is_empty() && !meta.title.ends_with('.'), "{}", meta.id);
            let docs = meta.docs();
            let headings: Vec<&str> = docs.sections().map(|(heading, _)| heading).collect();
            assert_eq!(headings, docs::HEADINGS, "{}", meta.id);
            for (heading, text) in docs.sections() {
                assert!(!text.is_empty(), "{}: nothing under {heading}", meta.id);
            }
            let decides = docs.section("How it decides");
            assert!(
                decides.contains("Severity") && decides.contains("onfidence"),
                "{}",
                meta.id
            );
            assert!(by_id(meta.id).is_some());
        }
        assert!(by_id("no-such-check").is_none());
    }

    #[test]
    fn an_empty_page_is_clean() {
        let scene = testing::Scene::new("https://case.test/");
        for check in all() {
            let outcome = scene.run(*check);
            assert!(
                outcome.observations.is_empty() && outcome.questions.is_empty(),
                "{}",
                check.meta().id
            );
        }
    }
}
