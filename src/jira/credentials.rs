//! Who we are in Jira. The secret is read once, kept out of every message, and sent to the base URL only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use crate::config::{JiraAuth, SecretSource};

/// Why no connection to Jira can be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The variable that holds the token is not there.
    #[error("jira.auth: the environment variable {0} is not set; put the API token there, or name a `token_file`")]
    NoVariable(String),
    /// The file that holds the token cannot be read.
    #[error("jira.auth: cannot read the token from {path}: {why}")]
    NoFile {
        /// The file.
        path: String,
        /// What the operating system said.
        why: String,
    },
    /// What is there cannot be a token.
    #[error("jira.auth: the token from {0} is empty or holds characters that no token has")]
    NotAToken(String),
    /// This dialect is not spoken yet.
    #[error("jira.deployment: `datacenter` is not supported yet; `cloud` is")]
    Deployment,
    /// The address is not one that can be spoken to.
    #[error("jira.base_url: {0} is not an http or https address")]
    BaseUrl(String),
    /// TLS cannot be set up.
    #[error("jira.base_url: TLS cannot be set up: {0}; install the system's certificates (ca-certificates)")]
    Tls(String),
    /// The HTTP client cannot be set up.
    #[error("jira: the HTTP client cannot be set up: {0}")]
    Http(String),
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
        let JiraAuth::Basic { email, token } = auth;
        let (secret, place) = match token {
            SecretSource::Env(name) => {
                let value = std::env::var(name).map_err(|_| SetupError::NoVariable(name.clone()))?;
                (value, format!("the environment variable {name}"))
            }
            SecretSource::File(path) => {
                let value = std::fs::read_to_string(path).map_err(|error| SetupError::NoFile {
                    path: path.display().to_string(),
                    why: error.to_string(),
                })?;
                (value, path.display().to_string())
            }
        };
        Self::basic(email, secret.trim()).ok_or(SetupError::NotAToken(place))
    }

    /// An e-mail address and an API token. `None` if they cannot be such.
    pub fn basic(email: &str, token: &str) -> Option<Self> {
        let odd = |text: &str| text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace());
        if odd(email) || odd(token) || email.contains(':') {
            return None;
        }
        let encoded = STANDARD.encode(format!("{email}:{token}"));
        let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
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
            email: "a@b.test".to_owned(),
            token: SecretSource::File(file.path().to_owned()),
        })
        .unwrap();
        assert_eq!(read.header(), "Basic YUBiLnRlc3Q6czNjcmV0");
        assert!(!format!("{read:?} {:?}", read.header()).contains("YUBi"));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for (email, token) in [("a@b", ""), ("", "t"), ("a:b", "t"), ("a@b", "t t"), ("a@b", "t\nX: y")] {
            assert!(Credentials::basic(email, token).is_none(), "{email:?} {token:?}");
        }
        let missing = JiraAuth::Basic {
            email: "a@b".to_owned(),
            token: SecretSource::Env("PHANTOM_TEST_NO_SUCH_VARIABLE".to_owned()),
        };
        let error = Credentials::read(&missing).unwrap_err().to_string();
        assert!(error.contains("PHANTOM_TEST_NO_SUCH_VARIABLE"), "{error}");
    }
}
