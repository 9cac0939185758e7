//! How our types become columns: words, times, numbers and compressed JSON.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::{Result, StoreError};

/// The zstd level of evidence and script texts. `benches/store.rs` compares levels; higher ones cost CPU that the
/// browsers need and save little on text this small.
pub(super) const LEVEL: i32 = 3;

/// The word by which serde knows an enum's variant.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(StoreError::Database(format!("{other} is not a word"))),
        Err(error) => Err(StoreError::Database(error.to_string())),
    }
}

/// The variant with this word.
pub(super) fn unword<T: DeserializeOwned>(word: &str) -> Result<T> {
    let deserializer: StrDeserializer<'_, WordError> = word.into_deserializer();
    T::deserialize(deserializer).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}

/// A value from JSON; `what` names it if it cannot be read.
pub(super) fn unjson<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

/// Bytes, compressed.
pub(super) fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|error| StoreError::Database(format!("compression failed: {error}")))
}

/// Compressed bytes; `what` names them if they cannot be read.
pub(super) fn unpack(packed: &[u8], what: &str) -> Result<Vec<u8>> {
    zstd::stream::decode_all(packed).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

/// Milliseconds since 1970 as a time.
pub(super) fn time(millis: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|error| StoreError::Corrupt(format!("a time: {error}")))
}

/// A length of time in whole milliseconds, rounded up so that a pace is never exceeded.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// A number that was written as unsigned.
pub(super) fn unsigned<T: TryFrom<i64>>(number: i64, what: &str) -> Result<T> {
    T::try_from(number).map_err(|_| StoreError::Corrupt(format!("{what} is {number}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::triage::FindingState;

    #[test]
    fn words_are_those_of_serde() {
        assert_eq!(word(&FindingState::NotObserved).unwrap(), "not-observed");
        assert_eq!(
            unword::<FindingState>("not-observed").unwrap(),
            FindingState::NotObserved
        );
        assert!(matches!(unword::<FindingState>("gone"), Err(StoreError::Corrupt(_))));
    }

    #[test]
    fn what_was_packed_unpacks_and_damage_is_told() {
        let packed = pack(b"evidence").unwrap();
        assert_eq!(unpack(&packed, "x").unwrap(), b"evidence");
        assert!(matches!(unpack(&packed[..3], "page 7"), Err(StoreError::Corrupt(why)) if why.starts_with("page 7")));
    }

    #[test]
    fn a_pace_is_rounded_up() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(500)), 500);
        assert_eq!(millis(Duration::MAX), i64::MAX);
    }
}
