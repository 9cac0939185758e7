use std::fmt;
use std::io::Read;

use super::SecretSource;

/// A secret that was read. It is never shown, also not by `{:?}`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be read. Never shows any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set; set it to the secret")]
    NotSet(String),
    /// The file could not be read.
    #[error("cannot read the secret in {file}: {why}; check that the file exists and may be read")]
    Unreadable {
        /// The file.
        file: String,
        /// What the operating system said.
        why: String,
    },
    /// There is nothing that could be sent as a secret.
    #[error("{place} {is}; it must hold the secret alone, on one line")]
    Unusable {
        /// The variable or the file.
        place: String,
        /// What is wrong with what it holds.
        is: &'static str,
    },
}

/// No token is longer.
const LONGEST: u64 = 64 * 1024;

impl SecretSource {
    /// Reads the secret, white space around it removed.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let (place, text) = match self {
            Self::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
                (
                    format!("the environment variable {name}"),
                    value.into_string().map_err(|_| "is not UTF-8"),
                )
            }
            Self::File(path) => {
                let file = path.display().to_string();
                let unreadable = |error: std::io::Error| SecretError::Unreadable {
                    file: file.clone(),
                    why: error.to_string(),
                };
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|opened| opened.take(LONGEST).read_to_end(&mut bytes))
                    .map_err(unreadable)?;
                (
                    format!("the file {file}"),
                    String::from_utf8(bytes).map_err(|_| "is not UTF-8"),
                )
            }
        };
        text.and_then(|text| match text.trim() {
            "" => Err("is empty"),
            secret if secret.len() as u64 >= LONGEST => Err("is too long"),
            secret if secret.chars().any(char::is_control) => Err("has several lines or control characters"),
            secret => Ok(Secret(secret.to_owned())),
        })
        .map_err(|is| SecretError::Unusable { place, is })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, SecretSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = SecretSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn a_file_is_read_without_white_space_and_never_shown() {
        let (_file, source) = file(b"  hunter2\n");
        let secret = source.read().unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_showing_it() {
        for (bytes, says) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"hunter2\nhunter3", "has several lines"),
            (b"hunter2\xff", "is not UTF-8"),
        ] {
            let (_file, source) = file(bytes);
            let error = source.read().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_missing_variable_or_file_is_named() {
        let unset = SecretSource::Env("PHANTOM_TEST_NEVER_SET".to_owned())
            .read()
            .unwrap_err();
        assert_eq!(
            unset.to_string(),
            "the environment variable PHANTOM_TEST_NEVER_SET is not set; set it to the secret"
        );
        let missing = SecretSource::File("/no/such/file".into()).read().unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read the secret in /no/such/file: "),
            "{missing}"
        );
    }
}
