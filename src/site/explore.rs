//! How far a scan may go on the pages of a site: `[explore]` in its file.

use serde::{Deserialize, Serialize};

use super::Scope;
use super::load::{default_scope, pattern};
use crate::config::kinds;
use crate::config::raw::{Section, Value, Wrong};

/// How a site is explored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explore {
    /// What is done on a page.
    pub mode: ExploreMode,
    /// The file says that the state of the site may be changed. Without it there is no [`ExploreMode::Full`].
    pub allow_state_change: bool,
    /// Forms are sent from another origin as well, to prove that the server takes them.
    #[serde(default)]
    pub csrf_proof: bool,
    /// Things that are done on one page at most.
    #[serde(default = "actions_per_page")]
    pub actions_per_page: u32,
    /// Requests that are sent though the mode would stop them.
    pub allow_requests: Vec<AllowedRequest>,
    /// Patterns of URLs that nothing is ever sent to; as in a scope's `exclude`.
    pub never: Vec<String>,
}

impl Default for Explore {
    fn default() -> Self {
        Self {
            mode: ExploreMode::default(),
            allow_state_change: false,
            csrf_proof: false,
            actions_per_page: actions_per_page(),
            allow_requests: Vec::new(),
            never: Vec::new(),
        }
    }
}

fn actions_per_page() -> u32 {
    60
}

/// What is done on a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExploreMode {
    /// Links are followed, and what the page does by itself is seen.
    #[default]
    Observe,
    /// The page is used as well: clicked, typed into, searched. Nothing that could change state is sent.
    Safe,
    /// Forms that change state are submitted, too: for test systems.
    Full,
}

impl ExploreMode {
    /// The word for it in a site's file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Safe => "safe",
            Self::Full => "full",
        }
    }
}

/// A request that is sent though the mode would stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedRequest {
    /// The HTTP method, in upper case.
    pub method: String,
    /// A host, with `*`, if not those of the site's scope are meant.
    pub host: Option<String>,
    /// A pattern of the path; begins with `/`.
    pub path: String,
    /// It is allowed only if its body is GraphQL operations of this kind.
    pub graphql: Option<GraphqlKind>,
}

/// A kind of GraphQL operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GraphqlKind {
    /// Operations that only read.
    Query,
}

impl AllowedRequest {
    /// The pattern of its URLs, as in a scope's `exclude`.
    pub fn pattern(&self) -> String {
        match &self.host {
            Some(host) => format!("*://{host}:*{}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Reads `[explore]`.
pub(super) fn explore(mut section: Section<'_>) -> Explore {
    let modes = [
        ("observe", ExploreMode::Observe),
        ("safe", ExploreMode::Safe),
        ("full", ExploreMode::Full),
    ];
    let mode = section.get("mode", kinds::word(&modes, &[])).unwrap_or_default();
    let allow_state_change = section.get("allow_state_change", kinds::flag).unwrap_or_default();
    if mode == ExploreMode::Full && !allow_state_change {
        let is = "= \"full\" submits forms that change the site's state";
        let advice = "add `allow_state_change = true` if this is a test system, or write \"safe\"";
        section.report("mode", Wrong::new(is, advice));
    }
    let csrf_proof = section.get("csrf_proof", kinds::flag).unwrap_or_default();
    if csrf_proof && mode != ExploreMode::Full {
        let is = "= true sends forms in the account's name";
        let advice =
            "write `mode = \"full\"` and `allow_state_change = true` if this is a test account, or leave it out";
        section.report("csrf_proof", Wrong::new(is, advice));
    }
    let allow_requests = section
        .tables("allow_requests")
        .into_iter()
        .filter_map(allowed)
        .collect();
    let never = section.get("never", kinds::list(excluding())).unwrap_or_default();
    let actions = section.get("actions_per_page", kinds::whole(0..=10_000_u32));
    section.finish(&[]);
    Explore {
        mode,
        allow_state_change,
        csrf_proof,
        actions_per_page: actions.unwrap_or_else(actions_per_page),
        allow_requests,
        never,
    }
}

fn allowed(mut section: Section<'_>) -> Option<AllowedRequest> {
    let method = section.require("method", "the method, such as \"POST\"", method);
    let host = section.get("host", host);
    let path = section.require("path", "a pattern of the path, such as \"/graphql\"", path);
    let graphql = section.get("graphql", kinds::word(&[("query", GraphqlKind::Query)], &[]));
    section.finish(&[]);
    Some(AllowedRequest {
        method: method?,
        host,
        path: path?,
        graphql,
    })
}

fn method(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "write a method in capital letters, such as \"POST\"",
        ))
    }
}

fn host(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let tried = Scope {
        exclude: vec![format!("*://{text}:*/")],
        ..default_scope(&[])
    };
    if super::ScopeRules::new(&tried).is_ok() && !text.contains([':', '/']) {
        Ok(text.to_ascii_lowercase())
    } else {
        let advice = "write a host such as \"api.shop.example\" or \"*.shop.example\"";
        Err(kinds::quoted(&text, advice))
    }
}

fn path(value: Value<'_>) -> Result<String, Wrong> {
    let text = excluding()(value)?;
    if text.starts_with('/') {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "begin it with \"/\", and name another host as `host`",
        ))
    }
}

fn excluding<'d>() -> impl Fn(Value<'d>) -> Result<String, Wrong> {
    pattern(|text| Scope {
        exclude: vec![text],
        ..default_scope(&[])
    })
}
