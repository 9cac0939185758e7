//! What a declaration asks the open page: elements by a CSS selector, and values that its scripts keep.
//!
//! The function that is run is ours; what a person declares is data in it. It reads attributes, texts and plain values,
//! calls nothing of the page's and writes nothing.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What rules call it.
    pub name: String,
    /// What is asked.
    pub question: Question,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The elements that a selector finds.
    Elements {
        /// The selector. One that the browser does not understand finds nothing.
        selector: String,
        /// Attributes that are told, in lower case.
        attributes: Vec<String>,
    },
    /// A value that scripts keep: the names on the way to it, from the window on.
    Value(Vec<String>),
}

/// Why something cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It may be secret.
    #[error("`{0}` may hold a secret, which must not be kept")]
    Secret(String),
    /// It leads out of the document.
    #[error("`{0}` leads out of the document")]
    Outside(String),
    /// It is not the name of a property or an attribute.
    #[error("`{0}` is not a name")]
    NoName(String),
}

/// What may hold a secret, in lower case.
const SECRET: [&str; 9] = [
    "value",
    "nonce",
    "cookie",
    "cookiestore",
    "localstorage",
    "sessionstorage",
    "password",
    "srcdoc",
    "indexeddb",
];
/// What leads to other documents, in lower case.
const OUTSIDE: [&str; 8] = [
    "parent",
    "top",
    "opener",
    "frames",
    "contentwindow",
    "contentdocument",
    "defaultview",
    "caches",
];

/// Whether an attribute or a property may be asked for.
///
/// # Errors
/// If it may be secret, leads elsewhere or is no name.
pub fn check_name(name: &str) -> Result<(), AskError> {
    let plain = name.to_ascii_lowercase();
    let named = !name.is_empty()
        && name.len() <= 100
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-'));
    if !named {
        Err(AskError::NoName(name.to_owned()))
    } else if SECRET.contains(&plain.as_str()) {
        Err(AskError::Secret(name.to_owned()))
    } else if OUTSIDE.contains(&plain.as_str()) {
        Err(AskError::Outside(name.to_owned()))
    } else {
        Ok(())
    }
}

impl Question {
    /// Elements, with these of their attributes.
    ///
    /// # Errors
    /// If an attribute may not be asked for.
    pub fn elements(selector: String, attributes: &[String]) -> Result<Self, AskError> {
        let attributes: Vec<String> = attributes.iter().map(|name| name.to_ascii_lowercase()).collect();
        attributes.iter().try_for_each(|name| check_name(name))?;
        Ok(Self::Elements { selector, attributes })
    }

    /// A value by the way to it, such as `App.config.debug`.
    ///
    /// # Errors
    /// If a part of it may not be asked for.
    pub fn value(way: &str) -> Result<Self, AskError> {
        let names: Vec<String> = way.split('.').map(str::to_owned).collect();
        names.iter().try_for_each(|name| check_name(name))?;
        Ok(Self::Value(names))
    }
}

/// A question as the script reads it.
#[derive(Serialize)]
struct Asked<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<&'a [String]>,
}

/// The function that asks. Questions stand in it as JSON, which is JavaScript.
pub(super) fn source(asks: &[Ask]) -> String {
    let asked: Vec<Asked<'_>> = asks
        .iter()
        .map(|ask| match &ask.question {
            Question::Elements { selector, attributes } => Asked {
                name: &ask.name,
                select: Some(selector),
                attributes: Some(attributes),
                read: None,
            },
            Question::Value(names) => Asked {
                name: &ask.name,
                select: None,
                attributes: None,
                read: Some(names),
            },
        })
        .collect();
    // Nothing that is a string or a list of strings fails to become JSON.
    let asked = serde_json::to_string(&asked).unwrap_or_else(|_| "[]".to_owned());
    include_str!("ask.js").trim().replace("[/* ASKS */]", &asked)
}

/// Another question is another version, so that old answers are not taken for answers to it.
pub(super) fn version(source: &str) -> u32 {
    let digest = Sha256::digest(source.as_bytes());
    digest.iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
