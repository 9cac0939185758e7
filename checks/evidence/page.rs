use serde::{Deserialize, Serialize};

/// The page as the browser reached it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The URL that was asked for.
    pub requested_url: String,
    /// The URL of the document after redirects; what the address bar shows when the page has settled.
    pub url: String,
    /// The URL had a session id in its path, which capture took away.
    #[serde(default)]
    pub session_in_path: bool,
    /// The HTTP status of the document; `None` if it did not come over HTTP.
    #[serde(default)]
    pub status: Option<u16>,
    /// The document's MIME type, in lower case, without parameters.
    #[serde(default)]
    pub mime: Option<String>,
    /// The document's response headers, names in lower case, in the order received; `set-cookie` values are shapes.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The names of the cookies that the browser held for it before its scripts ran: those that the document was asked for
    /// with, and those that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookies_before: Vec<String>,
    /// The redirects before the document, in order.
    #[serde(default)]
    pub redirects: Vec<Hop>,
    /// The title, at most 300 characters.
    #[serde(default)]
    pub title: Option<String>,
    /// The number of elements in the main frame.
    #[serde(default)]
    pub elements: u32,
    /// The page did not become quiet before its deadline; what is here was seen until then.
    #[serde(default)]
    pub cut_short: bool,
    /// What a page that was cut short still waited for: the URL of the oldest request without a whole answer.
    #[serde(default)]
    pub waited_for: Option<String>,
    /// How the document itself ended before it was whole; `None` if it is whole, or nobody said otherwise.
    #[serde(default)]
    pub broken_off: Option<String>,
    /// Milliseconds from the navigation to the end of the capture.
    #[serde(default)]
    pub took_ms: u64,
    /// What its document looks like; `None` if that was not captured.
    #[serde(default)]
    pub look: Option<Look>,
    /// Whether the visitor was logged in, as far as the page shows it by what the site's file says; `None` if it does
    /// not, or there is no login.
    #[serde(default)]
    pub logged_in: Option<bool>,
}

/// What the main document looks like, so that pages can be compared without their documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// A sketch (`MinHash`) of the kinds of elements that stand in each other.
    pub structure: Vec<u32>,
    /// A sketch of the words of its text.
    pub words: Vec<u32>,
    /// How many words there are, as far as they were read.
    pub word_count: u32,
    /// A hash of title and text.
    pub text_hash: String,
    /// The text, if it is short; words that look like secrets are masked.
    pub text: Option<String>,
}

impl Page {
    /// The value of the first header with this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| header.value.as_str())
    }
}

/// One response header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The name in lower case.
    pub name: String,
    /// The value, at most 4,096 characters; redacted where it carries a secret.
    pub value: String,
}

/// One redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The URL that redirected.
    pub url: String,
    /// The HTTP status; 307 with no network request behind it is the browser's own HSTS upgrade.
    pub status: u16,
    /// Where to, as the browser resolved it.
    pub to: String,
}
