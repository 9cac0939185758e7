//! When a site is scanned by itself: a pure rule, the time is an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SiteId;
use crate::config::kinds;
use crate::config::raw::{Section, Value, Wrong};

/// How far back a missed run is looked for, in hours: the nearest first, so that a frequent schedule is not counted
/// from a year ago.
const LOOK_BACK: [i64; 6] = [1, 24, 7 * 24, 32 * 24, 367 * 24, 5 * 366 * 24];
/// Runs of a frequent schedule that are counted in one of these times.
const MOST_RUNS: usize = 5_000;

/// When a site is scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minute, hour, day of month, month, day of week, as cron has them.
    pub cron: String,
    /// The time zone of that, such as `Europe/Berlin`.
    pub timezone: String,
    /// Up to so much later, another time for each site and each run, always the same for both.
    #[serde(default)]
    pub jitter: Duration,
    /// The hours in which a scan may run; outside of them it waits for the next ones.
    #[serde(default)]
    pub window: Option<Hours>,
    /// Days on which nothing runs.
    #[serde(default)]
    pub freeze: Vec<Days>,
}

/// Hours of a day, such as `01:00-06:00`; `22:00-04:00` goes on after midnight. The end is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    from: Time,
    to: Time,
}

/// Days, the last one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    from: Date,
    to: Date,
}

/// A schedule that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The times.
    #[error("`{0}` is no cron expression: minute, hour, day of month, month, day of week, such as \"0 2 * * *\"")]
    Cron(String),
    /// The time zone.
    #[error("there is no time zone {0}; write one such as \"Europe/Berlin\" or \"UTC\"")]
    Zone(String),
}

/// What a site's last nightly scan came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// There was none.
    None,
    /// It runs.
    Running,
    /// It was begun and not brought to its end; nobody is at it.
    Unfinished,
    /// A person wants it to wait.
    Paused,
    /// It ended then.
    Ended(Timestamp),
}

/// What is to be done about a site now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A scan is to begin, unless one has begun since then.
    Begin(Timestamp),
    /// The last one is to go on.
    GoOn,
    /// Nothing before then, as far as it can be said.
    Wait(Option<Timestamp>),
}

impl Schedule {
    /// Checks what can be wrong with it.
    pub fn check(&self) -> Result<(), BadSchedule> {
        self.cron().map(drop)
    }

    fn zone(&self) -> Result<TimeZone, BadSchedule> {
        TimeZone::get(&self.timezone).map_err(|_| BadSchedule::Zone(self.timezone.clone()))
    }

    /// The time as clocks show it where its schedule is kept.
    pub fn local(&self, time: Timestamp) -> Result<Zoned, BadSchedule> {
        Ok(time.to_zoned(self.zone()?))
    }

    fn cron(&self) -> Result<Cron, BadSchedule> {
        let times = cronexpr::parse_crontab(&format!("{} UTC", self.cron));
        Ok(Cron {
            zone: self.zone()?,
            times: times.map_err(|_| BadSchedule::Cron(self.cron.clone()))?,
        })
    }

    /// Whether a scan may run now.
    pub fn allows(&self, now: Timestamp) -> Result<bool, BadSchedule> {
        let local = now.to_zoned(self.zone()?);
        let frozen = self.freeze.iter().any(|days| days.hold(local.date()));
        Ok(!frozen && self.window.is_none_or(|hours| hours.hold(local.time())))
    }

    /// What is to be done about a site now. Runs that were missed are made up for once; one that fell into the time of
    /// an earlier scan is not.
    pub fn due(&self, site: &SiteId, past: Past, now: Timestamp) -> Result<Due, BadSchedule> {
        let allowed = self.allows(now)?;
        match past {
            Past::Unfinished if allowed => Ok(Due::GoOn),
            Past::Running | Past::Paused | Past::Unfinished => Ok(Due::Wait(None)),
            Past::None | Past::Ended(_) => {
                let last = self.last(site, now)?;
                let missed = last.filter(|last| !matches!(past, Past::Ended(ended) if ended >= last.planned));
                Ok(match missed {
                    Some(last) if allowed => Due::Begin(last.planned),
                    Some(_) => Due::Wait(None),
                    None => Due::Wait(self.next(site, now)?),
                })
            }
        }
    }

    /// The last run that should have begun by now.
    fn last(&self, site: &SiteId, now: Timestamp) -> Result<Option<Planned>, BadSchedule> {
        let cron = self.cron()?;
        for hours in LOOK_BACK {
            let Ok(from) = now.checked_sub(SignedDuration::from_hours(hours)) else {
                continue;
            };
            let begun = cron
                .after(from)
                .take(MOST_RUNS)
                .map(|planned| self.moved(site, planned))
                .take_while(|run| run.planned <= now)
                .filter(|run| run.begins <= now)
                .last();
            if begun.is_some() {
                return Ok(begun);
            }
        }
        Ok(None)
    }

    /// The next run that is to begin after now.
    fn next(&self, site: &SiteId, now: Timestamp) -> Result<Option<Timestamp>, BadSchedule> {
        let cron = self.cron()?;
        let from = now
            .checked_sub(SignedDuration::try_from(self.jitter).unwrap_or_default())
            .unwrap_or(now);
        let begins = cron
            .after(from)
            .take(MOST_RUNS)
            .map(|planned| self.moved(site, planned).begins);
        Ok(begins.into_iter().find(|begins| *begins > now))
    }

    /// A run with its jitter, which is the same whoever asks.
    fn moved(&self, site: &SiteId, planned: Timestamp) -> Planned {
        let jitter = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        let mut hash = Sha256::new();
        hash.update(site.0.as_bytes());
        hash.update(planned.as_second().to_be_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hash.finalize()[..8]);
        let late = u64::from_be_bytes(number).checked_rem(jitter).unwrap_or(0);
        let late = SignedDuration::from_millis(i64::try_from(late).unwrap_or(i64::MAX));
        Planned {
            planned,
            begins: planned.checked_add(late).unwrap_or(planned),
        }
    }
}

/// A run of a schedule.
#[derive(Debug, Clone, Copy)]
struct Planned {
    planned: Timestamp,
    begins: Timestamp,
}

/// The times of a schedule as clocks on the wall show them, and where the wall is.
///
/// What falls into the hour that is left out in spring comes an hour later, what falls into the one that comes twice in
/// autumn comes the first time: no night has none, and none has two.
struct Cron {
    zone: TimeZone,
    /// Of clocks that know no summer.
    times: cronexpr::Crontab,
}

impl Cron {
    fn after(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        let next = |at: Timestamp| self.times.find_next(at).ok().map(|next| next.timestamp());
        let shown = from.to_zoned(self.zone.clone()).datetime().to_zoned(TimeZone::UTC);
        let first = shown.ok().and_then(|shown| next(shown.timestamp()));
        let shown = std::iter::successors(first, move |at| next(*at).filter(|next| next > at));
        shown.filter_map(move |shown| {
            let shown = shown.to_zoned(TimeZone::UTC).datetime();
            let there = shown.to_zoned(self.zone.clone()).ok()?.timestamp();
            (there > from).then_some(there)
        })
    }
}

impl Hours {
    fn hold(self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, to) = text.split_once('-').ok_or(())?;
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':').ok_or(())?;
            if hour.len() > 2 || minute.len() != 2 {
                return Err(());
            }
            Time::new(hour.parse().map_err(drop)?, minute.parse().map_err(drop)?, 0, 0).map_err(drop)
        };
        let hours = Self {
            from: time(from)?,
            to: time(to)?,
        };
        if hours.from == hours.to { Err(()) } else { Ok(hours) }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

impl Days {
    fn hold(self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }
}

impl FromStr for Days {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, to) = text.split_once('/').unwrap_or((text, text));
        let day = |text: &str| {
            let day: Date = text.trim().parse().map_err(drop)?;
            // A date and a time are no day, though they begin with one.
            if day.to_string() == text.trim() {
                Ok(day)
            } else {
                Err(())
            }
        };
        let days = Self {
            from: day(from)?,
            to: day(to)?,
        };
        if days.from <= days.to { Ok(days) } else { Err(()) }
    }
}

/// Reads `schedule = { cron = …, timezone = …, … }` of a site's file.
pub(super) fn read(mut section: Section<'_>) -> Option<Schedule> {
    let cron = section.require("cron", "five fields such as \"0 2 * * *\"", kinds::text);
    let timezone = section.get("timezone", zone).unwrap_or_else(|| "UTC".to_owned());
    let day = Duration::from_hours(24);
    let jitter = section.get("jitter", kinds::duration(Duration::ZERO..=day));
    let window = section.get("window", hours);
    let freeze = section.get("freeze", kinds::some_of(days)).unwrap_or_default();
    let schedule = Schedule {
        cron: cron?,
        timezone,
        jitter: jitter.unwrap_or_default(),
        window,
        freeze,
    };
    if let Err(BadSchedule::Cron(cron)) = schedule.check() {
        section.report(
            "cron",
            Wrong::new(
                format!("is \"{cron}\""),
                "write minute, hour, day of month, month, day of week, such as \"0 2 * * *\"",
            ),
        );
        return None;
    }
    section.finish(&[]);
    Some(schedule)
}

fn zone(value: Value<'_>) -> Result<String, Wrong> {
    let name = kinds::text(value)?;
    match TimeZone::get(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(Wrong::new(
            format!("is \"{name}\""),
            "write a time zone such as \"Europe/Berlin\" or \"UTC\"",
        )),
    }
}

fn hours(value: Value<'_>) -> Result<Hours, Wrong> {
    let text = kinds::text(value)?;
    text.parse().map_err(|()| {
        Wrong::new(
            format!("is \"{text}\""),
            "write hours such as \"01:00-06:00\" or \"22:00-04:00\"",
        )
    })
}

fn days(value: Value<'_>) -> Result<Days, Wrong> {
    let text = kinds::text(value)?;
    text.parse().map_err(|()| {
        Wrong::new(
            format!("is \"{text}\""),
            "write a day such as \"2026-12-24\", or days such as \"2026-12-24/2027-01-02\"",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<Zoned>().unwrap().timestamp()
    }

    fn berlin(text: &str) -> Timestamp {
        at(&format!("{text}[Europe/Berlin]"))
    }

    fn schedule(cron: &str) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            jitter: Duration::ZERO,
            window: None,
            freeze: Vec::new(),
        }
    }

    fn due(schedule: &Schedule, past: Past, now: &str) -> Due {
        schedule.due(&SiteId("shop".to_owned()), past, berlin(now)).unwrap()
    }

    #[test]
    fn what_is_due() {
        let nightly = schedule("0 2 * * *");
        let ended = |text| Past::Ended(berlin(text));
        let begin = |text| Due::Begin(berlin(text));
        let wait = |text| Due::Wait(Some(berlin(text)));
        for (past, now, expected) in [
            // A new site is scanned as soon as may be.
            (Past::None, "2026-11-25T12:00", begin("2026-11-25T02:00")),
            (
                ended("2026-11-24T03:00"),
                "2026-11-25T01:59:59",
                wait("2026-11-25T02:00"),
            ),
            (ended("2026-11-24T03:00"), "2026-11-25T02:00", begin("2026-11-25T02:00")),
            (ended("2026-11-25T02:40"), "2026-11-25T03:00", wait("2026-11-26T02:00")),
            // Three nights missed are made up for once.
            (ended("2026-11-21T03:00"), "2026-11-25T09:00", begin("2026-11-25T02:00")),
            // One that ran into the next night was that night's, too.
            (ended("2026-11-25T05:00"), "2026-11-25T06:00", wait("2026-11-26T02:00")),
            (Past::Running, "2026-11-25T09:00", Due::Wait(None)),
            (Past::Paused, "2026-11-25T09:00", Due::Wait(None)),
            (Past::Unfinished, "2026-11-25T09:00", Due::GoOn),
        ] {
            assert_eq!(due(&nightly, past, now), expected, "{past:?} {now}");
        }
    }

    #[test]
    fn hours_and_days_are_kept() {
        let mut nightly = schedule("0 2 * * *");
        nightly.window = Some("01:00-06:00".parse().unwrap());
        nightly.freeze = vec!["2026-12-24/2026-12-26".parse().unwrap()];
        let ended = Past::Ended(berlin("2026-11-20T03:00"));
        for (past, now, expected) in [
            (ended, "2026-11-25T06:00", Due::Wait(None)),
            (ended, "2026-11-25T05:59", Due::Begin(berlin("2026-11-25T02:00"))),
            (ended, "2026-11-26T01:00", Due::Begin(berlin("2026-11-25T02:00"))),
            (Past::Unfinished, "2026-11-25T06:00", Due::Wait(None)),
            (Past::Unfinished, "2026-11-26T01:00", Due::GoOn),
            (Past::Unfinished, "2026-12-24T03:00", Due::Wait(None)),
            (Past::Unfinished, "2026-12-27T03:00", Due::GoOn),
            (ended, "2026-12-26T05:00", Due::Wait(None)),
        ] {
            assert_eq!(due(&nightly, past, now), expected, "{past:?} {now}");
        }
        let night: Hours = "22:00-04:00".parse().unwrap();
        for (hour, open) in [(21, false), (22, true), (0, true), (3, true), (4, false)] {
            assert_eq!(night.hold(Time::constant(hour, 0, 0, 0)), open, "{hour}");
        }
        assert_eq!(night.to_string(), "22:00-04:00");
        for bad in ["", "1-2", "01:00", "01:00-01:00", "25:00-01:00", "01:0-02:00"] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
        for bad in ["", "2026-13-01", "2026-12-26/2026-12-24", "2026-12-24T10:00"] {
            assert!(bad.parse::<Days>().is_err(), "{bad}");
        }
    }

    /// In the night in which clocks go forward there is no 02:30, in the other one there are two.
    #[test]
    fn each_night_has_one_run() {
        let nightly = schedule("30 2 * * *");
        let cron = nightly.cron().unwrap();
        for from in ["2027-03-26T12:00", "2026-10-23T12:00"] {
            let runs: Vec<_> = cron.after(berlin(from)).take(4).collect();
            let days: Vec<_> = runs
                .iter()
                .map(|run| run.to_zoned(TimeZone::get("Europe/Berlin").unwrap()).date())
                .collect();
            for pair in days.windows(2) {
                assert_eq!(pair[0].tomorrow().unwrap(), pair[1], "{runs:?}");
            }
        }
    }

    #[test]
    fn jitter_spreads_sites_and_stays_the_same() {
        let mut nightly = schedule("0 2 * * *");
        nightly.jitter = Duration::from_mins(20);
        let planned = berlin("2026-11-25T02:00");
        let late: Vec<_> = (0..50)
            .map(|number| {
                let site = SiteId(format!("site-{number}"));
                let begins = nightly.moved(&site, planned).begins;
                assert_eq!(begins, nightly.moved(&site, planned).begins);
                assert!(planned <= begins && begins < planned + SignedDuration::from_mins(20));
                let before = nightly.due(
                    &site,
                    Past::Ended(berlin("2026-11-24T03:00")),
                    begins - SignedDuration::from_millis(1),
                );
                assert_eq!(before, Ok(Due::Wait(Some(begins))), "not before its time");
                let then = nightly.due(&site, Past::Ended(berlin("2026-11-24T03:00")), begins);
                assert_eq!(then, Ok(Due::Begin(planned)));
                begins
            })
            .collect();
        let early = late
            .iter()
            .filter(|begins| **begins < planned + SignedDuration::from_mins(10));
        assert!((10..40).contains(&early.count()), "{late:?}");
    }

    #[test]
    fn frequent_and_rare_schedules_are_found() {
        let ended = Past::Ended(berlin("2026-11-25T11:59:30"));
        assert_eq!(
            due(&schedule("* * * * *"), ended, "2026-11-25T12:00:10"),
            Due::Begin(berlin("2026-11-25T12:00"))
        );
        assert_eq!(
            due(&schedule("0 3 29 2 *"), Past::None, "2026-11-25T12:00"),
            Due::Begin(berlin("2024-02-29T03:00"))
        );
        assert!(schedule("0 2 * *").check().is_err());
        assert!(schedule("0 2 * * * *").check().is_err());
        let nowhere = Schedule {
            timezone: "Europe/Nowhere".to_owned(),
            ..schedule("0 2 * * *")
        };
        assert_eq!(nowhere.check(), Err(BadSchedule::Zone("Europe/Nowhere".to_owned())));
    }
}
