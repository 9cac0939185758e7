//! The turns of hosts: when somebody may ask one of them something, over all processes.

use std::time::Duration;

use jiff::Timestamp;

use super::codec::{millis, time, unsigned};
use super::{Backend, Result};
use crate::crawl::{LONGEST_TURN, Turn};

pub(in super::super) const TAKE: &str = "INSERT INTO hosts (host, next_allowed) VALUES ($1, $3) \
     ON CONFLICT (host) DO UPDATE SET next_allowed = excluded.next_allowed WHERE hosts.next_allowed <= $2 \
         OR hosts.next_allowed > $4 RETURNING refusals";

pub(in super::super) const NEXT: &str = "SELECT next_allowed FROM hosts WHERE host = $1";

/// Several requests that were refused at once have been refused once.
pub(in super::super) const HOLD: &str = "INSERT INTO hosts (host, next_allowed, refusals, held_until) VALUES ($1, $2, 1, $2) \
     ON CONFLICT (host) DO UPDATE SET \
         next_allowed = CASE WHEN hosts.next_allowed > excluded.next_allowed AND hosts.next_allowed <= $4 \
             THEN hosts.next_allowed ELSE excluded.next_allowed END, \
         refusals = CASE WHEN hosts.held_until > $3 AND hosts.held_until <= $4 THEN hosts.refusals ELSE hosts.refusals + 1 END, \
         held_until = CASE WHEN hosts.held_until > excluded.held_until AND hosts.held_until <= $4 \
             THEN hosts.held_until ELSE excluded.held_until END";

pub(in super::super) const FORGIVE: &str = "UPDATE hosts SET refusals = 0 WHERE host = $1";

/// What lies beyond it was written by a clock that has gone back since, and holds nobody.
pub(super) fn furthest(now: i64) -> i64 {
    now.saturating_add(millis(LONGEST_TURN))
}

pub(super) async fn take(store: &Backend, host: &str, now: Timestamp, pace: Duration) -> Result<Turn> {
    let mut writers = store.writer().await?;
    let now = store.there(now);
    let mut tx = writers.relaxed().await?;
    let taken: Option<i64> = sqlx::query_scalar(TAKE)
        .bind(host)
        .bind(now)
        .bind(now.saturating_add(millis(pace)))
        .bind(furthest(now))
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(refusals) = taken {
        tx.commit().await?;
        let refusals = unsigned(refusals, "the refusals of a host")?;
        return Ok(Turn::Now { refusals });
    }
    let next: i64 = sqlx::query_scalar(NEXT).bind(host).fetch_one(&mut *tx).await?;
    Ok(Turn::Later(time(store.here(next))?))
}

pub(super) async fn hold(store: &Backend, host: &str, now: Timestamp, until: Timestamp) -> Result<()> {
    let mut writers = store.writer().await?;
    let (now, until) = (store.there(now), store.there(until));
    // The host was promised to be left alone.
    let mut tx = writers.durable().await?;
    sqlx::query(HOLD)
        .bind(host)
        .bind(until)
        .bind(now)
        .bind(furthest(now))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn forgive(store: &Backend, host: &str) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.relaxed().await?;
    sqlx::query(FORGIVE).bind(host).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
