//! Keys and tokens that are known by their own look: one list, used where they are taken out of what is kept, and where a
//! check says that they were there.
//!
//! Capture puts a mark in a secret's place, `REDACTED-` and the kind. The secret itself gets no further.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use crate::observation::Severity;

/// What every mark begins with.
pub const MARK: &str = "REDACTED-";

/// The longest secret, in bytes: a private key.
const LONGEST: usize = 8_192;
/// Secrets of one text that are found; who has more has other troubles.
const MOST: usize = 200;

/// A kind of secret.
#[derive(Debug)]
pub struct Kind {
    /// What marks and causes name it.
    pub id: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// How bad it is that everybody can read it.
    pub severity: Severity,
    /// What it begins with.
    prefix: &'static str,
    /// All of it, from the prefix on.
    pattern: &'static str,
    proof: Proof,
}

/// What tells a secret from a text that only looks like one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Proof {
    /// Its characters vary as random ones do: at least so many bits a character, after the prefix.
    Entropy(f32),
    /// Its last six characters are a checksum of the thirty before.
    Checksum,
    /// Its frame: nothing else looks like that.
    Frame,
}

const fn kind(
    id: &'static str,
    title: &'static str,
    prefix: &'static str,
    pattern: &'static str,
    proof: Proof,
) -> Kind {
    Kind {
        id,
        title,
        severity: Severity::High,
        prefix,
        pattern,
        proof,
    }
}

/// Every kind there is.
static KINDS: &[Kind] = &[
    kind(
        "private-key",
        "a private key",
        "-----BEGIN ",
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH )?PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]|\\+[nr]){100,6000}(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?",
        Proof::Frame,
    ),
    kind(
        "github-token",
        "a GitHub token",
        "ghp_",
        r"ghp_[A-Za-z0-9]{36}",
        Proof::Checksum,
    ),
    kind(
        "github-token",
        "a GitHub token",
        "gho_",
        r"gho_[A-Za-z0-9]{36}",
        Proof::Checksum,
    ),
    kind(
        "github-token",
        "a GitHub token",
        "ghs_",
        r"ghs_[A-Za-z0-9]{36}",
        Proof::Checksum,
    ),
    kind(
        "github-token",
        "a GitHub token",
        "ghr_",
        r"ghr_[A-Za-z0-9]{36}",
        Proof::Checksum,
    ),
    kind(
        "github-token",
        "a GitHub token",
        "github_pat_",
        r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        Proof::Entropy(3.8),
    ),
    kind(
        "npm-token",
        "an npm token",
        "npm_",
        r"npm_[A-Za-z0-9]{36}",
        Proof::Checksum,
    ),
    kind(
        "gitlab-token",
        "a GitLab token",
        "glpat-",
        r"glpat-[A-Za-z0-9_\-]{20}",
        Proof::Entropy(3.3),
    ),
    kind(
        "slack-token",
        "a Slack token",
        "xox",
        r"xox[abp]-[0-9]{10,13}-[0-9]{10,13}-[A-Za-z0-9\-]{20,80}",
        Proof::Entropy(3.3),
    ),
    kind(
        "slack-webhook",
        "a Slack webhook, to which everybody can post",
        "https://hooks.slack.com/services/T",
        r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}",
        Proof::Entropy(4.0),
    ),
    kind(
        "stripe-key",
        "a live secret key of Stripe",
        "sk_live_",
        r"sk_live_[A-Za-z0-9]{24,120}",
        Proof::Entropy(3.5),
    ),
    kind(
        "stripe-key",
        "a live restricted key of Stripe",
        "rk_live_",
        r"rk_live_[A-Za-z0-9]{24,120}",
        Proof::Entropy(3.5),
    ),
    kind(
        "sendgrid-key",
        "a SendGrid key",
        "SG.",
        r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",
        Proof::Entropy(4.3),
    ),
    kind(
        "shopify-token",
        "a Shopify token",
        "shpat_",
        r"shpat_[0-9a-fA-F]{32}",
        Proof::Entropy(2.8),
    ),
    kind(
        "shopify-token",
        "a Shopify secret",
        "shpss_",
        r"shpss_[0-9a-fA-F]{32}",
        Proof::Entropy(2.8),
    ),
    kind(
        "digitalocean-token",
        "a DigitalOcean token",
        "dop_v1_",
        r"dop_v1_[0-9a-f]{64}",
        Proof::Entropy(3.0),
    ),
    kind(
        "google-client-secret",
        "a Google client secret",
        "GOCSPX-",
        r"GOCSPX-[A-Za-z0-9_\-]{28}",
        Proof::Entropy(3.5),
    ),
    kind(
        "azure-storage-key",
        "a key of an Azure storage account",
        "AccountKey=",
        r"AccountKey=[A-Za-z0-9+/]{86}==",
        Proof::Entropy(4.5),
    ),
    kind(
        "pypi-token",
        "a PyPI token",
        "pypi-AgEIcHlwaS5vcmc",
        r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,400}",
        Proof::Entropy(4.0),
    ),
    kind(
        "openai-key",
        "an OpenAI key",
        "sk-",
        r"sk-(?:proj-|svcacct-)?[A-Za-z0-9_\-]{20,80}T3BlbkFJ[A-Za-z0-9_\-]{20,80}",
        Proof::Entropy(4.0),
    ),
    kind(
        "anthropic-key",
        "an Anthropic key",
        "sk-ant-api",
        r"sk-ant-api[0-9]{2}-[A-Za-z0-9_\-]{80,120}",
        Proof::Entropy(4.0),
    ),
    Kind {
        severity: Severity::Medium,
        ..kind(
            "aws-access-key",
            "the id of an AWS access key, whose secret may be near",
            "AKIA",
            r"AKIA[A-Z2-7]{16}",
            Proof::Entropy(3.0),
        )
    },
];

/// A secret in a text.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub range: Range<usize>,
    /// What it is.
    pub kind: &'static Kind,
}

struct Matchers {
    prefixes: AhoCorasick,
    patterns: Vec<Regex>,
}

static MATCHERS: LazyLock<Option<Matchers>> = LazyLock::new(|| {
    Some(Matchers {
        prefixes: AhoCorasick::new(KINDS.iter().map(|kind| kind.prefix)).ok()?,
        patterns: KINDS
            .iter()
            .map(|kind| Regex::new(&format!("^(?:{})", kind.pattern)).ok())
            .collect::<Option<_>>()?,
    })
});

/// The secrets in a text, in order, without overlap.
pub fn find(text: &str) -> Vec<Found> {
    let Some(matchers) = MATCHERS.as_ref() else {
        return Vec::new();
    };
    let mut found: Vec<Found> = Vec::new();
    let mut end = 0;
    for prefix in matchers.prefixes.find_overlapping_iter(text) {
        let (index, start) = (prefix.pattern().as_usize(), prefix.start());
        if start < end || found.len() >= MOST {
            continue;
        }
        let (kind, pattern) = (&KINDS[index], &matchers.patterns[index]);
        let begins_a_word = !text[..start].ends_with(|c: char| c.is_ascii_alphanumeric());
        let mut stop = text.len().min(start + LONGEST);
        while !text.is_char_boundary(stop) {
            stop -= 1;
        }
        let Some(hit) = pattern.find(&text[start..stop]).filter(|_| begins_a_word) else {
            continue;
        };
        let ends_a_word = !text[start + hit.end()..].starts_with(|c: char| c.is_ascii_alphanumeric());
        if ends_a_word && kind.is_proved(hit.as_str()) && !is_presigned(&text[..start]) {
            end = start + hit.end();
            found.push(Found {
                range: start..end,
                kind,
            });
        }
    }
    found
}

/// The text with a mark in the place of each secret.
pub fn marked(text: &str) -> Cow<'_, str> {
    let found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut marked, mut end) = (String::with_capacity(text.len()), 0);
    for secret in found {
        marked.push_str(&text[end..secret.range.start]);
        marked.push_str(MARK);
        marked.push_str(secret.kind.id);
        end = secret.range.end;
    }
    marked.push_str(&text[end..]);
    Cow::Owned(marked)
}

/// The mark in a text, if there is one.
pub fn mark_in(text: &str) -> Option<&str> {
    let at = text.find(MARK)?;
    let id = &text[at + MARK.len()..];
    let kind = KINDS.iter().find(|kind| id.starts_with(kind.id))?;
    Some(&text[at..at + MARK.len() + kind.id.len()])
}

/// The kinds whose marks are in a text, each once.
pub fn kinds_marked(text: &str) -> Vec<&'static Kind> {
    let mut kinds: Vec<&'static Kind> = Vec::new();
    for (at, _) in text.match_indices(MARK).take(MOST) {
        let id = &text[at + MARK.len()..];
        let known = KINDS.iter().find(|kind| id.starts_with(kind.id));
        if let Some(kind) = known.filter(|kind| !kinds.iter().any(|have| have.id == kind.id)) {
            kinds.push(kind);
        }
    }
    kinds
}

impl Kind {
    fn is_proved(&self, secret: &str) -> bool {
        let rest = &secret[self.prefix.len()..];
        let upper = rest.to_ascii_uppercase();
        if ["EXAMPLE", "XXXXXX", "123456789", "REDACTED"]
            .iter()
            .any(|word| upper.contains(word))
        {
            return false;
        }
        match self.proof {
            Proof::Frame => true,
            Proof::Entropy(least) => crate::shape::measure(rest).1 >= least,
            Proof::Checksum => rest
                .split_at_checked(30)
                .is_some_and(|(body, sum)| sum == checksum(body)),
        }
    }
}

/// A signed URL names the key it was signed with; that is what it is for.
fn is_presigned(before: &str) -> bool {
    ["Credential=", "AWSAccessKeyId=", "credential=", "%3D"]
        .iter()
        .any(|end| before.ends_with(end))
}

/// CRC-32 in six digits of base 62.
fn checksum(body: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut rest = !crc;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that no scanner of sources takes this file for a leak.
    fn github(body: &str) -> String {
        format!("ghp{}{body}{}", '_', checksum(body))
    }

    #[test]
    fn secrets_are_told_from_what_looks_like_them() {
        assert!(MATCHERS.is_some(), "a pattern is wrong");
        let body = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ";
        let good = github(body);
        let stripe = ["sk", "live", "51Hx9vKqTz8LmNpRw4YbC7dEf"].join("_");
        let aws = ["AK", "IAQ3EGVJX5Z7MWRT2K"].concat();
        let table = [
            (good.clone(), Some("github-token")),
            (format!("ghp_{body}000000"), None),
            (format!("x{good}"), None),
            (format!("{good}a"), None),
            (stripe.clone(), Some("stripe-key")),
            (stripe.replace("live", "test"), None),
            ("sk_live_xxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(), None),
            (aws.clone(), Some("aws-access-key")),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), None),
            (format!("X-Amz-Credential={aws}"), None),
            (
                format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n", "aB3/".repeat(40)),
                Some("private-key"),
            ),
            (
                format!("-----BEGIN RSA PRIVATE KEY-----\\n{}\\n", "aB3/".repeat(40)),
                Some("private-key"),
            ),
            ("-----BEGIN PRIVATE KEY----- goes here".to_owned(), None),
            (format!("-----BEGIN PUBLIC KEY-----\n{}\n", "aB3/".repeat(40)), None),
        ];
        for (text, expected) in table {
            let text = format!("var key = \"{text}\";");
            let found = find(&text);
            assert_eq!(found.first().map(|found| found.kind.id), expected, "{text}");
            assert_eq!(
                kinds_marked(&marked(&text)).first().map(|kind| kind.id),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_checksum_is_the_one_that_is_used() {
        // An expired token that its issuer has shown to the world.
        let known = ["ghp", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"].join("_");
        assert_eq!(find(&known).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_left(text in "(ghp_|AKIA|-----BEGIN |sk-|[A-Za-z0-9]{36}| |é){0,12}") {
            let marked = marked(&text).into_owned();
            proptest::prop_assert!(find(&marked).is_empty());
            let _ = mark_in(&marked);
        }
    }
}
