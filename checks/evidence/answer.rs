use serde::{Deserialize, Serialize};

use crate::observation::Question;

/// What was found out about a check's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Question::HttpsAnswers`].
    Https {
        /// The URL of the question.
        url: String,
        /// What came of it.
        outcome: HttpsOutcome,
    },
    /// To [`Question::AnyOriginMayRead`].
    AnyOrigin {
        /// The URL of the question.
        url: String,
        /// A strange origin may read it, with credentials.
        allowed: bool,
    },
    /// To [`Question::IsSourceMap`].
    SourceMap {
        /// The URL of the question.
        url: String,
        /// It is one, and has sources in it.
        found: bool,
    },
    /// To [`Question::FreshLook`].
    Fresh {
        /// The URL of the question.
        url: String,
        /// The form of the question.
        form: String,
        /// What may be a token in what came. Empty if the page did not come.
        values: Vec<FreshValue>,
        /// A new visitor is not let in, or sent to a login.
        #[serde(default)]
        refused: bool,
    },
    /// To [`Question::Replay`].
    Replayed {
        /// The form of the question.
        form: String,
        /// The token of the question.
        #[serde(default)]
        token: Option<String>,
        /// What the page itself sends has an effect that can be seen; if not, the others say nothing.
        #[serde(default)]
        honest: bool,
        /// It has without any cookie as well.
        #[serde(default)]
        from_anybody: bool,
        /// It has from another origin and without the token, if there is one.
        #[serde(default)]
        without_token: bool,
        /// It has from another origin and with a token that was never given out.
        #[serde(default)]
        wrong_token: bool,
    },
    /// The question could not be asked: out of scope, over budget, or not understood. It is not asked again.
    NotAsked {
        /// The question.
        question: Question,
        /// Why, as a sentence.
        why: String,
    },
    /// An answer of a newer version.
    #[serde(other)]
    Unknown,
}

/// A value that a new visitor gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshValue {
    /// Where it stands.
    #[serde(default)]
    pub place: FreshPlace,
    /// The name of the field, `meta` element or cookie.
    pub name: String,
    /// The hash of its [`ValueShape`](super::ValueShape).
    pub hash: String,
}

/// Where a token may stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FreshPlace {
    /// In a hidden field.
    Field,
    /// In a `meta` element.
    Meta,
    /// In a cookie that the answer sets.
    Cookie,
    /// In a place that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether the https form of a URL answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum HttpsOutcome {
    /// With this HTTP status.
    Status {
        /// The status of the answer, redirects not followed.
        status: u16,
    },
    /// It could not be reached.
    Failed {
        /// Why.
        error: String,
    },
    /// An outcome of a newer version.
    #[serde(other)]
    Unknown,
}
