use serde::{Deserialize, Serialize};

/// What stands for a value that must not be kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueShape {
    /// A keyed hash of the value, salted per installation: equal values have equal hashes here and nowhere else.
    pub hash: String,
    /// The length in characters.
    pub length: u32,
    /// Which characters it is made of.
    #[serde(default)]
    pub charset: Charset,
    /// Shannon entropy of its characters in bits a character, 0 to 8.
    #[serde(default)]
    pub entropy: f32,
    /// What it is known to be by its own look: `web-token`, or a kind of [`crate::secrets`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The narrowest class that holds all characters of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Charset {
    /// No characters at all.
    Empty,
    /// 0 to 9.
    Digits,
    /// 0 to 9 and a to f in one case, hyphens of a UUID included.
    Hex,
    /// Letters and digits.
    Alphanumeric,
    /// The alphabets of Base64, padded or not, URL-safe or not, dots of a JSON Web Token included.
    Base64,
    /// Printable ASCII.
    Ascii,
    /// Anything else.
    Other,
    /// A class that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A `meta` element.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The frame it stands in.
    pub frame: String,
    /// Its `name`, `http-equiv` or `property`, in lower case.
    pub name: String,
    /// Its content, at most 1,000 characters; `None` where the name says that it is a token.
    #[serde(default)]
    pub content: Option<String>,
    /// What the content looks like, where it is not kept.
    #[serde(default)]
    pub value: Option<ValueShape>,
}

/// One key in a web storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorageEntry {
    /// The origin that holds it.
    pub origin: String,
    /// Which storage.
    #[serde(default)]
    pub area: StorageArea,
    /// The key, at most 200 characters.
    pub key: String,
    /// What the value looks like.
    pub value: ValueShape,
}

/// The web storages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageArea {
    /// `localStorage`.
    Local,
    /// `sessionStorage`.
    Session,
    /// A storage that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}
