//! What the capture script answers. The page may have forged all of it.

use std::collections::BTreeMap;

use phantom_checks::evidence::LinkSource;
use serde::Deserialize;

use crate::browser::json;
use crate::crawl::hash_of;

/// The longest answer that is read, in bytes. The script's own bounds stay far below it.
const MAX_ANSWER: usize = 16 << 20;

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct FrameAnswer {
    pub url: String,
    pub origin: String,
    pub title: String,
    pub elements: u32,
    pub forms: Vec<FormAnswer>,
    pub links: Vec<LinkAnswer>,
    pub scripts: Vec<ScriptAnswer>,
    pub metas: Vec<MetaAnswer>,
    pub storage: Vec<StorageAnswer>,
    pub probes: BTreeMap<String, Option<String>>,
    /// What the probes took, in milliseconds.
    #[serde(default)]
    pub probes_ms: Option<f64>,
    pub left_out: u64,
    /// What the main document looks like.
    #[serde(default)]
    pub look: Option<LookAnswer>,
    #[serde(default)]
    pub manifests: Vec<String>,
    /// A built-in function in whose place the page has put another; empty if there is none.
    #[serde(default)]
    pub changed: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct LookAnswer {
    pub paths: Vec<String>,
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct FormAnswer {
    pub selector: String,
    pub snippet: String,
    pub has_action: bool,
    pub action: String,
    pub method: String,
    pub enctype: String,
    pub visible: bool,
    pub in_shadow_root: bool,
    pub fields: Vec<FieldAnswer>,
    pub submitters: Vec<SubmitterAnswer>,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct FieldAnswer {
    pub name: String,
    pub kind: String,
    pub id: String,
    pub autocomplete: String,
    pub label: String,
    pub visible: bool,
    pub disabled: bool,
    pub value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct SubmitterAnswer {
    pub text: String,
    pub name: String,
    pub action: Option<String>,
    pub method: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct LinkAnswer {
    pub url: String,
    pub source: LinkSource,
    pub rel: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct ScriptAnswer {
    pub kind: String,
    pub snippet: String,
    pub integrity: Option<String>,
    pub url: Option<String>,
    #[serde(default)]
    pub length: u64,
    pub text: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct MetaAnswer {
    pub name: String,
    pub content: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::browser) struct StorageAnswer {
    pub area: String,
    pub key: String,
    pub value: String,
}

impl FrameAnswer {
    /// What it leads to, as hashes: the addresses of its links, its forms.
    pub fn leads(&self) -> Vec<u64> {
        let links = self.links.iter().map(|link| hash_of(&link.url));
        let forms = self.forms.iter().map(|form| {
            let fields: Vec<_> = form.fields.iter().map(|field| (&field.name, &field.kind)).collect();
            hash_of(&(&form.action, &form.method, fields))
        });
        links.chain(forms).collect()
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty() && self.links.is_empty() && self.scripts.is_empty()
    }

    /// Reads the answer of one frame; the error is why it could not be looked into.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_ANSWER {
            return Err("its scripts made the capture too large".to_owned());
        }
        json::read(text).map_err(|_| "its scripts falsified the capture".to_owned())
    }
}
