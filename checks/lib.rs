//! The checks of Phantom Gang: evidence of one page in, observations out.
//!
//! This crate is pure. It knows no browser, no clock, no network and no store, so every check can be run again over
//! evidence that was captured long ago. What evidence cannot tell, a check asks for with a [`Question`].

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")
)]

mod answers;
pub mod basic_auth_over_http;
pub mod cases;
pub mod check;
pub mod compromised_script_host;
pub mod csp_violation;
pub mod debug_page;
pub mod declarative;
pub mod directory_listing;
pub mod docs;
pub mod dom_xss;
pub mod evidence;
pub mod exposed_secret;
mod fields;
pub mod framing_allowed;
pub mod hosts;
pub mod insecure_cookie;
pub mod insecure_form;
pub mod look;
pub mod missing_csrf_token;
pub mod missing_nosniff;
pub mod mixed_content;
pub mod observation;
pub mod page_over_http;
pub mod permissive_cors;
mod policy;
pub mod private_address;
pub mod script_without_integrity;
pub mod secrets;
pub mod server_version;
mod session_cookie;
pub mod session_id_in_url;
pub mod shape;
pub mod source_map;
pub mod stable;
#[cfg(test)]
mod testing;
pub mod token_in_storage;
pub mod unsafe_referrer_policy;
pub mod vulnerable_library;
pub mod weak_csp;
pub mod weak_hsts;

pub use check::{Bodies, Check, EndOfLife, Meta, Outcome, Probe, SiteFacts, Subject};
pub use docs::Docs;
pub use look::{Look, Seen};
pub use observation::{Cause, Confidence, Fact, Observation, Question, Severity};
pub use session_cookie::is_session;

/// The checks that are part of the program, in the order in which reports list them. One line a check.
const BUILT_IN: &[&dyn Check] = &[
    &mixed_content::MixedContent,
    &insecure_form::InsecureForm,
    &vulnerable_library::VulnerableLibrary,
    &missing_csrf_token::MissingCsrfToken,
    &dom_xss::DomXss,
    &exposed_secret::ExposedSecret,
    &compromised_script_host::CompromisedScriptHost,
    &permissive_cors::PermissiveCors,
    &debug_page::DebugPage,
    &basic_auth_over_http::BasicAuthOverHttp,
    &page_over_http::PageOverHttp,
    &insecure_cookie::InsecureCookie,
    &session_id_in_url::SessionIdInUrl,
    &token_in_storage::TokenInStorage,
    &framing_allowed::FramingAllowed,
    &weak_csp::WeakCsp,
    &csp_violation::CspViolation,
    &weak_hsts::WeakHsts,
    &script_without_integrity::ScriptWithoutIntegrity,
    &directory_listing::DirectoryListing,
    &private_address::PrivateAddress,
    &unsafe_referrer_policy::UnsafeReferrerPolicy,
    &missing_nosniff::MissingNosniff,
    &server_version::ServerVersion,
    &source_map::SourceMap,
];

/// The checks that are part of the program.
pub fn built_in() -> &'static [&'static dyn Check] {
    BUILT_IN
}

/// Every check there is, in the order in which reports list them: the built-in ones, then those that were declared.
pub fn all() -> &'static [&'static dyn Check] {
    declarative::all()
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
