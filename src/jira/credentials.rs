//! Who we are in Jira. The secret is read once, kept out of every message, and sent to the base URL only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use crate::config::{JiraAuth, SecretError, SecretSource};

/// Why no connection to Jira can be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The secret cannot be read.
    #[error("jira.auth: {0}")]
    Secret(SecretError),
    /// What is there cannot be a token.
    #[error("jira.auth: the token from {0} is empty or holds characters that no token has")]
    NotAToken(String),
    /// The address is not one that can be spoken to.
    #[error("jira.base_url: {0} is not an http or https address")]
    BaseUrl(String),
    /// TLS cannot be set up.
    #[error("jira.base_url: TLS cannot be set up: {0}; install the system's certificates (ca-certificates)")]
    Tls(String),
    /// The extra certificates cannot be used.
    #[error("jira.ca_file: cannot use {path}: {why}; it must hold certificates in PEM form")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The HTTP client cannot be set up.
    #[error("jira: the HTTP client cannot be set up: {0}")]
    Http(String),
}

impl From<SecretError> for SetupError {
    fn from(error: SecretError) -> Self {
        Self::Secret(error)
    }
}

/// The header that says who we are.
#[derive(Clone)]
pub struct Credentials(HeaderValue);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// Reads the secret from where the configuration says it is.
    pub fn read(auth: &JiraAuth) -> Result<Self, SetupError> {
        let (JiraAuth::Basic { token, .. } | JiraAuth::Pat { token } | JiraAuth::OAuth2 { token }) = auth;
        let secret = token.read()?;
        let header = match auth {
            JiraAuth::Basic { user, .. } => Self::basic(user, secret.expose()),
            JiraAuth::Pat { .. } | JiraAuth::OAuth2 { .. } => Self::bearer(secret.expose()),
        };
        header.ok_or_else(|| {
            SetupError::NotAToken(match token {
                SecretSource::Env(name) => format!("the environment variable {name}"),
                SecretSource::File(path) => path.display().to_string(),
            })
        })
    }

    /// An e-mail address and an API token, or a user name and a password, which may hold spaces. `None` if they cannot be
    /// such.
    pub fn basic(user: &str, token: &str) -> Option<Self> {
        let odd = |text: &str| text.is_empty() || text.chars().any(char::is_control);
        if odd(user) || odd(token) || user.contains([':', ' ']) {
            return None;
        }
        Self::sensitive(&format!("Basic {}", STANDARD.encode(format!("{user}:{token}"))))
    }

    /// A token that says by itself who we are. `None` if it cannot be one.
    pub fn bearer(token: &str) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        Self::sensitive(&format!("Bearer {token}"))
    }

    fn sensitive(text: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(text).ok()?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_trimmed_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let read = Credentials::read(&JiraAuth::Basic {
            user: "a@b.test".to_owned(),
            token: SecretSource::File(file.path().to_owned()),
        })
        .unwrap();
        assert_eq!(read.header(), "Basic YUBiLnRlc3Q6czNjcmV0");
        assert!(!format!("{read:?} {:?}", read.header()).contains("YUBi"));
        let token = SecretSource::File(file.path().to_owned());
        for auth in [JiraAuth::Pat { token: token.clone() }, JiraAuth::OAuth2 { token }] {
            assert_eq!(Credentials::read(&auth).unwrap().header(), "Bearer s3cret");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for (email, token) in [("a@b", ""), ("", "t"), ("a:b", "t"), ("a b", "t"), ("a@b", "t\nX: y")] {
            assert!(Credentials::basic(email, token).is_none(), "{email:?} {token:?}");
        }
        for token in ["", "t t", "t\nX: y", "tö"] {
            assert!(Credentials::bearer(token).is_none(), "{token:?}");
        }
        let missing = JiraAuth::Basic {
            user: "a@b".to_owned(),
            token: SecretSource::Env("PHANTOM_TEST_NO_SUCH_VARIABLE".to_owned()),
        };
        let error = Credentials::read(&missing).unwrap_err().to_string();
        assert!(error.contains("PHANTOM_TEST_NO_SUCH_VARIABLE"), "{error}");
    }
}
