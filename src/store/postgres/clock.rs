//! Whose clock decides.
//!
//! Workers say what time it is, and their clocks may be minutes apart: one that is ahead would take leases that others
//! still hold, and be early at a host. So each compares its clock with the database's, when it connects and every few
//! seconds, and times that decide leases and pace are moved by the difference. What lies within the error of the
//! comparison is no difference: on one machine there is none.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::PgConnection;

use super::Result;

/// Time between two comparisons.
const EVERY: Duration = Duration::from_secs(10);

/// The best of so many comparisons counts: the one with the quickest answer.
const ROUNDS: usize = 3;

const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// This process's clock beside the database's.
pub(super) struct Clock {
    local: fn() -> Timestamp,
    known: Mutex<Known>,
}

#[derive(Clone, Copy)]
struct Known {
    /// Milliseconds that the database is ahead.
    ahead: i64,
    compared: Option<Instant>,
}

impl Clock {
    pub(super) fn new(local: fn() -> Timestamp) -> Self {
        let known = Known {
            ahead: 0,
            compared: None,
        };
        Self {
            local,
            known: Mutex::new(known),
        }
    }

    /// Milliseconds that the database's clock is ahead of ours.
    pub(super) fn ahead(&self) -> i64 {
        self.known().ahead
    }

    /// Compares the clocks, if it is time to.
    pub(super) async fn compare(&self, connection: &mut PgConnection) -> Result<()> {
        if self.known().compared.is_some_and(|then| then.elapsed() < EVERY) {
            return Ok(());
        }
        let mut best: Option<(i64, i64)> = None;
        for _ in 0..ROUNDS {
            let before = (self.local)().as_millisecond();
            let sent = Instant::now();
            let database: i64 = sqlx::query_scalar(NOW).fetch_one(&mut *connection).await?;
            let took = i64::try_from(sent.elapsed().as_millis()).unwrap_or(i64::MAX);
            let ahead = database.saturating_sub(before.saturating_add(took / 2));
            if best.is_none_or(|(shortest, _)| took < shortest) {
                best = Some((took, ahead));
            }
        }
        if let Some((took, ahead)) = best {
            let known = Known {
                ahead: beyond_error(ahead, took),
                compared: Some(Instant::now()),
            };
            *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = known;
        }
        Ok(())
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A difference that an answer after `took` cannot explain; each clock is read in whole milliseconds.
fn beyond_error(ahead: i64, took: i64) -> i64 {
    if ahead.abs() <= took / 2 + 2 { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_are_none() {
        assert_eq!(beyond_error(2, 0), 0);
        assert_eq!(beyond_error(-3, 0), -3);
        assert_eq!(beyond_error(50, 100), 0);
        assert_eq!(beyond_error(-300_000, 100), -300_000);
    }
}
