//! Whether a page answered itself, or something in its place: a challenge, a consent wall, a page that says that there
//! is none.
//!
//! Pure. A page is believed to be the page unless something precise says otherwise: a header or a resource that only
//! such answers have, or a title or an address of that kind on a page with almost nothing of its own. No word in a
//! text is enough by itself.

mod signs;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use phantom_checks::evidence::{Evidence, Form, LinkSource, Look};
use url::Url;

use super::sketch::likeness;
pub use signs::{is_challenge_host, is_login_path};

/// Long pages with the same title that are at least this alike are one.
const SAME_WORDS: f64 = 0.95;
/// Likewise, by the elements they are made of.
const SAME_STRUCTURE: f64 = 0.85;
/// Short texts that differ in so many words are one: they name the address, or the time.
const MOST_ODD_WORDS: usize = 2;

/// What answers in a page's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// A test of the browser that lets people through.
    Challenge,
    /// A test of the person.
    Captcha,
    /// A question that must be answered before anything is shown.
    Consent,
    /// The site is closed for a while.
    Maintenance,
    /// The page is for those who are logged in.
    Login,
    /// The page does not exist, though its status says that it does.
    Missing,
}

impl Obstacle {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Challenge,
        Self::Captcha,
        Self::Consent,
        Self::Maintenance,
        Self::Login,
        Self::Missing,
    ];

    /// In words, with the article.
    pub fn words(self) -> &'static str {
        match self {
            Self::Challenge => "a challenge",
            Self::Captcha => "a CAPTCHA",
            Self::Consent => "a consent wall",
            Self::Maintenance => "a maintenance page",
            Self::Login => "a login page",
            Self::Missing => "a page that says there is none",
        }
    }

    /// It keeps the scanner out, as opposed to a page that has its reasons for anyone.
    pub fn blocks(self) -> bool {
        !matches!(self, Self::Login | Self::Missing)
    }

    /// It is not of the site's own making, so it says nothing of the site.
    pub fn is_foreign(self) -> bool {
        matches!(self, Self::Challenge | Self::Captcha)
    }

    /// The obstacle that a stored [`Instead`] names.
    pub fn named(text: &str) -> Option<Self> {
        let (words, _) = text.split_once(':')?;
        Self::ALL.into_iter().find(|one| one.words() == words)
    }
}

/// What answered in a page's place, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// What.
    pub what: Obstacle,
    /// How that is known, as a sentence without a full stop.
    pub why: String,
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what.words(), self.why)
    }
}

/// A page to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Its URL.
    pub url: String,
    /// Its title.
    pub title: Option<String>,
    /// What it looks like.
    pub look: Look,
}

impl Baseline {
    /// What a page looks like, if that was captured.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        let page = &evidence.page;
        Some(Self {
            url: page.url.clone(),
            title: page.title.clone(),
            look: page.look.clone()?,
        })
    }

    /// Whether both show the same, but for their addresses.
    pub fn is_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.look, &other.look);
        if one.text_hash == two.text_hash {
            return true;
        }
        // Both may name the address that they were asked for.
        let addresses = [words(&self.url), words(&other.url)].concat();
        let own = |text: &str| -> BTreeSet<String> {
            let words = words(text).into_iter();
            words.filter(|word| !addresses.contains(word)).collect()
        };
        let title = |page: &Self| page.title.as_deref().map(own);
        if title(self) != title(other) || likeness(&one.structure, &two.structure) < SAME_STRUCTURE {
            return false;
        }
        match (&one.text, &two.text) {
            (Some(first), Some(second)) => {
                let (first, second) = (own(first), own(second));
                first.symmetric_difference(&second).count() <= MOST_ODD_WORDS && first.len() > MOST_ODD_WORDS
            }
            _ => likeness(&one.words, &two.words) >= SAME_WORDS,
        }
    }
}

/// The words of a text, without numbers.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// What is known of a site beyond the page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// A person named the page as the start: it is what it is.
    pub is_start: bool,
    /// What the start page looks like. A server that shows it for every address says nothing of what exists.
    pub start: Option<&'a Baseline>,
    /// What the host shows for an address that cannot exist; `None` if it says so by its status.
    pub missing: Option<&'a Baseline>,
    /// The site's login pages.
    pub logins: &'a [Baseline],
}

/// What answered in a page's place; `None` if it was the page itself, as far as can be told.
pub fn instead(evidence: &Evidence, known: &Known<'_>) -> Option<Instead> {
    let page = View::of(evidence);
    let found = |what| move |why| Instead { what, why };
    let challenge = signs::challenge(&page).map(|(what, why)| Instead { what, why });
    challenge
        .or_else(|| signs::captcha(&page).map(found(Obstacle::Captcha)))
        .or_else(|| signs::consent(&page).map(found(Obstacle::Consent)))
        .or_else(|| signs::maintenance(&page).map(found(Obstacle::Maintenance)))
        .or_else(|| login(&page, known).map(found(Obstacle::Login)))
        .or_else(|| missing(&page, known).map(found(Obstacle::Missing)))
}

/// Whether this is the page where people log in, by its address and what is on it.
pub fn is_login_page(evidence: &Evidence) -> bool {
    let page = View::of(evidence);
    signs::is_login_path(&page.path) && page.login_form().is_some()
}

fn login(page: &View<'_>, known: &Known<'_>) -> Option<String> {
    let form = page.login_form()?;
    if known.is_start || signs::is_login_path(&page.path) {
        return None;
    }
    let this = Baseline::of(page.evidence)?;
    if let Some(login) = known.logins.iter().find(|login| login.is_like(&this)) {
        let at = Url::parse(&login.url).map_or_else(|_| String::new(), |url| url.path().to_owned());
        return Some(format!("it looks like the login page at {at}"));
    }
    let action = Url::parse(&form.action).ok()?;
    let asks = signs::is_login_title(&page.title) && signs::is_login_path(action.path()) && page.is_thin(80, 3);
    asks.then(|| "title and form ask for a login, and there is nothing else".to_owned())
}

fn missing(page: &View<'_>, known: &Known<'_>) -> Option<String> {
    if known.is_start {
        return None;
    }
    let this = Baseline::of(page.evidence)?;
    if let Some(missing) = known.missing
        && !known.start.is_some_and(|start| start.is_like(missing))
        && missing.is_like(&this)
    {
        return Some("the server answers the same to an address that cannot exist".to_owned());
    }
    let says = signs::is_missing_title(&page.title) && this.look.word_count <= 400;
    says.then(|| "its title says so".to_owned())
}

/// A page as the signs look at it.
struct View<'a> {
    evidence: &'a Evidence,
    status: u16,
    /// In lower case.
    title: String,
    /// In lower case; empty if it is long or was not captured.
    text: String,
    /// In lower case.
    path: String,
    host: String,
    words: Option<u32>,
    /// Links to other pages of the host, but for those that the law asks for.
    own_links: usize,
}

impl<'a> View<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let page = &evidence.page;
        let url = Url::parse(&page.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let path = url.as_ref().map_or("", Url::path);
        let links: BTreeSet<String> = evidence
            .links
            .iter()
            .filter(|link| matches!(link.source, LinkSource::Anchor | LinkSource::Area))
            .filter_map(|link| Url::parse(&link.url).ok())
            .filter(|to| to.host_str() == Some(host) && to.path() != path)
            .map(|to| to.path().to_lowercase())
            .filter(|to| !signs::is_legal_path(to))
            .collect();
        Self {
            status: page.status.unwrap_or(200),
            title: page.title.as_deref().unwrap_or_default().trim().to_lowercase(),
            text: page
                .look
                .as_ref()
                .and_then(|look| look.text.as_deref())
                .unwrap_or_default()
                .to_lowercase(),
            path: path.to_lowercase(),
            host: host.to_owned(),
            words: page.look.as_ref().map(|look| look.word_count),
            own_links: links.len(),
            evidence,
        }
    }

    /// There is almost nothing on it: so many words at most, and so many links to other pages of its host.
    fn is_thin(&self, words: u32, links: usize) -> bool {
        self.words.is_some_and(|count| count <= words) && self.own_links <= links
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.evidence.page.header(name)
    }

    /// The first of what the page loaded, or tried to, whose URL has one of these in it.
    fn loads(&self, parts: &[&'static str]) -> Option<&'static str> {
        let requests = self.evidence.requests.iter().map(|request| request.url.as_str());
        let frames = self.evidence.frames.iter().map(|frame| frame.url.as_str());
        let scripts = self.evidence.scripts.iter().filter_map(|script| script.url.as_deref());
        let mut all = requests.chain(frames).chain(scripts);
        all.find_map(|url| parts.iter().find(|part| url.contains(**part)).copied())
    }

    /// Fields that a person can fill in, other than those of a CAPTCHA.
    fn visible_fields(&self) -> usize {
        let forms = self.evidence.forms.iter().filter(|form| form.visible);
        let fields = forms.flat_map(|form| &form.fields);
        fields
            .filter(|field| field.visible && !field.name.contains("captcha") && !field.name.contains("turnstile"))
            .count()
    }

    /// A form that asks for a password, and for little else.
    fn login_form(&self) -> Option<&'a Form> {
        self.evidence.forms.iter().find(|form| {
            let shown = || form.fields.iter().filter(|field| field.visible);
            let passwords = shown().filter(|field| field.kind == "password").count();
            form.visible
                && passwords == 1
                && shown().count() <= 4
                && !shown().any(|field| field.autocomplete == "new-password")
        })
    }
}
