//! Which of the browsers that others run is used next: by weight, among those that are well.

use std::sync::{Arc, Mutex as PlainMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::BrowserError;
use super::remote::Unfit;
use crate::config::Endpoint;

/// After its first failure a browser is left alone for this long, then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Where only a person can help, it is looked this often.
const UNTIL_MENDED: Duration = Duration::from_mins(1);

/// All of them, and how each is.
pub(super) struct Endpoints {
    places: Vec<Endpoint>,
    standings: PlainMutex<Vec<Standing>>,
}

/// How one of them is.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// Connections that are used now.
    used: u32,
    /// In a row.
    failures: u32,
    /// It is left alone until then.
    until: Option<Instant>,
    why: Option<String>,
    /// Why it could not be used the first time.
    first: Option<String>,
}

/// A connection's place at a browser, given back when it is dropped.
pub(super) struct Seat {
    endpoints: Arc<Endpoints>,
    place: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.endpoints.standings()[self.place].used -= 1;
    }
}

impl Seat {
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoints.places[self.place]
    }

    /// The browser is well.
    pub fn is_well(&self) {
        let standing = &mut self.endpoints.standings()[self.place];
        (standing.failures, standing.until, standing.why) = (0, None, None);
    }

    /// The browser cannot be used, or has ended.
    pub fn failed(&self, why: &Unfit) {
        let mut standings = self.endpoints.standings();
        let standing = &mut standings[self.place];
        let wait = if why.lasts() {
            UNTIL_MENDED
        } else {
            let doubled = FIRST_WAIT.saturating_mul(1 << standing.failures.min(10));
            doubled.min(LONGEST_WAIT)
        };
        standing.failures = standing.failures.saturating_add(1);
        standing.until = Some(Instant::now() + wait);
        let why = why.to_string();
        // Some of it are the browser's own words, escaped for whoever reads logs on a terminal.
        tracing::warn!(browser = %self.endpoint(), ?why, "a remote browser cannot be used");
        standing.first.get_or_insert_with(|| why.clone());
        standing.why = Some(why);
    }
}

impl Endpoints {
    pub fn new(places: Vec<Endpoint>) -> Self {
        let standings = vec![Standing::default(); places.len()];
        Self {
            places,
            standings: PlainMutex::new(standings),
        }
    }

    pub fn any_direct(&self) -> Option<&Endpoint> {
        self.places.iter().find(|place| place.direct)
    }

    fn standings(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place at the browser that has the fewest connections for its weight, of those that are well. Who failed
    /// lately is left alone; `None` if that are all.
    fn take(self: &Arc<Self>, now: Instant) -> Option<Seat> {
        let mut standings = self.standings();
        let well = (0..self.places.len()).filter(|&at| standings[at].until.is_none_or(|until| until <= now));
        // a / b < c / d, in whole numbers.
        let load = |at: usize| (u64::from(standings[at].used) + 1, u64::from(self.places[at].weight));
        let place = well.min_by(|&one, &other| {
            let ((used, weight), (others, its_weight)) = (load(one), load(other));
            (used * its_weight).cmp(&(others * weight))
        })?;
        standings[place].used += 1;
        Some(Seat {
            endpoints: Arc::clone(self),
            place,
        })
    }

    /// Takes a place as soon as there is one; `None` if there is none until then.
    pub async fn seat(self: &Arc<Self>, until: Instant) -> Option<Seat> {
        loop {
            if let Some(seat) = self.take(Instant::now()) {
                return Some(seat);
            }
            let soonest = self.standings().iter().filter_map(|standing| standing.until).min();
            let soonest = soonest.filter(|soonest| *soonest <= until)?;
            tokio::time::sleep_until(soonest.into()).await;
        }
    }

    /// Those that could not be used at some time, and why at first.
    pub fn failures(&self) -> Vec<String> {
        let standings = self.standings();
        let each = self.places.iter().zip(standings.iter());
        each.filter_map(|(place, standing)| Some(format!("{place} {}", standing.first.as_ref()?)))
            .collect()
    }

    /// Why there is none.
    pub fn error(&self) -> BrowserError {
        let standings = self.standings();
        let each = self.places.iter().zip(standings.iter());
        let each = each.filter_map(|(place, standing)| Some(format!("{place} {}", standing.why.as_ref()?)));
        BrowserError::Endpoints(each.collect::<Vec<_>>().join("\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn endpoints(text: &str) -> Arc<Endpoints> {
        let text = format!("[browser]\nendpoints = [{text}]");
        let config = Config::from_str(&text, std::path::Path::new("phantom.toml")).unwrap();
        Arc::new(Endpoints::new(config.browser.endpoints))
    }

    fn shown(seats: &[Option<Seat>]) -> String {
        let port = |seat: &Option<Seat>| seat.as_ref().map_or(0, |seat| seat.place);
        seats.iter().map(|seat| port(seat).to_string()).collect()
    }

    #[test]
    fn connections_are_shared_out_by_weight() {
        let endpoints = endpoints(r#"{ url = "http://127.0.0.1:1", weight = 3 }, "http://127.0.0.1:2""#);
        let now = Instant::now();
        let mut seats: Vec<_> = (0..8).map(|_| endpoints.take(now)).collect();
        assert_eq!(shown(&seats).matches('0').count(), 6, "{}", shown(&seats));
        // Who ends makes room where it was.
        let (first, _) = seats
            .iter()
            .enumerate()
            .find(|(_, seat)| seat.as_ref().unwrap().place == 1)
            .unwrap();
        seats.remove(first);
        assert_eq!(endpoints.take(now).unwrap().place, 1);
    }

    #[test]
    fn who_failed_is_left_alone_longer_each_time_and_the_others_get_its_share() {
        let endpoints = endpoints(r#""http://127.0.0.1:1", "http://127.0.0.1:2""#);
        let ended = || Unfit::Dial(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let began = Instant::now();
        for failures in 0..12 {
            let seat = endpoints.take(began + Duration::from_secs(60 * failures)).unwrap();
            assert_eq!(seat.place, 0);
            seat.failed(&ended());
            drop(seat);
            let wait = endpoints.standings()[0].until.unwrap() - Instant::now();
            let expected = FIRST_WAIT.saturating_mul(1 << failures).min(LONGEST_WAIT);
            assert!(wait <= expected && wait > expected / 2, "{failures}: {wait:?}");
            let seats: Vec<_> = (0..3).map(|_| endpoints.take(Instant::now())).collect();
            assert_eq!(shown(&seats), "111");
        }
        let seat = endpoints.take(began + Duration::from_hours(1)).unwrap();
        seat.is_well();
        assert_eq!(endpoints.standings()[0].failures, 0);
    }

    #[tokio::test]
    async fn if_all_fail_it_is_waited_for_one_that_can_come_back_and_the_error_names_all() {
        let endpoints = endpoints(r#""http://127.0.0.1:1", "wss://me:hunter2@browsers.test/hunter2?token=hunter2""#);
        for unfit in [Unfit::Silent, Unfit::Slow(Duration::from_secs(8))] {
            let seat = endpoints.take(Instant::now()).unwrap();
            seat.failed(&unfit);
        }
        let back = endpoints.seat(Instant::now() + Duration::from_secs(30)).await.unwrap();
        assert_eq!(back.place, 1, "the one that only a person can mend is not waited for");
        back.failed(&Unfit::Name);
        assert!(endpoints.seat(Instant::now() + Duration::from_secs(30)).await.is_none());
        let error = endpoints.error().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        let failures = endpoints.failures();
        assert_eq!(failures.len(), 2, "{failures:?}");
        let first = "wss://browsers.test did not answer within 8s";
        assert!(failures[1].starts_with(first), "the first reason stays: {failures:?}");
        for says in [
            "http://127.0.0.1:1 does not say how it was started",
            "wss://browsers.test wants to be called",
            "browser.endpoints",
        ] {
            assert!(error.contains(says), "{error}");
        }
    }
}
