use serde::{Deserialize, Serialize};

use super::{Step, ValueShape};

/// A form as it was after scripts ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// The frame it stands in.
    pub frame: String,
    /// A CSS selector that finds it in its frame, made of ids and positions.
    pub selector: String,
    /// Its opening tag, at most 500 characters, values masked.
    pub snippet: String,
    /// The `action` attribute is there and not empty.
    #[serde(default)]
    pub has_action: bool,
    /// Where it submits to: absolute, after `base`; the document's URL if there is no action. Secrets are redacted.
    pub action: String,
    /// How it submits.
    #[serde(default)]
    pub method: FormMethod,
    /// The encoding, in lower case; empty if not given.
    #[serde(default)]
    pub enctype: String,
    /// It takes up room on the page and is not hidden by style. An invisible form can still be submitted by script.
    #[serde(default)]
    pub visible: bool,
    /// It stands in a shadow root.
    #[serde(default)]
    pub in_shadow_root: bool,
    /// Its fields, those that belong to it by `form=` included.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Its buttons and images that submit, those that belong to it by `form=` included.
    #[serde(default)]
    pub submitters: Vec<Submitter>,
    /// What was done on the page before it was there; empty if it was there by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Step>,
}

/// How a form submits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormMethod {
    /// In the URL.
    #[default]
    Get,
    /// In the body.
    Post,
    /// Not at all: it closes its dialog.
    Dialog,
    /// A method that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A field of a form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The `name`; a field without one is not submitted.
    #[serde(default)]
    pub name: String,
    /// The `type` of an input as the browser understands it, else `select`, `textarea` or the custom element's name.
    pub kind: String,
    /// The `id`.
    #[serde(default)]
    pub id: String,
    /// The `autocomplete` attribute, in lower case.
    #[serde(default)]
    pub autocomplete: String,
    /// The text of its label, placeholder or `aria-label`, at most 100 characters.
    #[serde(default)]
    pub label: String,
    /// A person can see it.
    #[serde(default)]
    pub visible: bool,
    /// It is disabled and so not submitted.
    #[serde(default)]
    pub disabled: bool,
    /// What its value looks like, kept for hidden fields only.
    #[serde(default)]
    pub value: Option<ValueShape>,
}

/// A button or image that submits a form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Submitter {
    /// The text on it, at most 100 characters.
    #[serde(default)]
    pub text: String,
    /// The `name`.
    #[serde(default)]
    pub name: String,
    /// Where it sends the form instead, absolute; `None` without `formaction`.
    #[serde(default)]
    pub action: Option<String>,
    /// How it sends the form instead; `None` without `formmethod`.
    #[serde(default)]
    pub method: Option<FormMethod>,
}
