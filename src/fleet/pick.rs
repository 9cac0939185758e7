//! What is to be done, in the order in which it is: what a person waits for, then the night's scans.

use std::sync::Arc;

use jiff::{Timestamp, Zoned};

use super::{Gang, GangError, Memory, Plan};
use crate::scan::{ScanId, ScanLine, ScanState, Standing, Trigger, WhichScans, Wish};
use crate::site::{DEFAULT_POOL, Due, Past, Schedule, Site, SiteId};

type Result<T> = std::result::Result<T, GangError>;

/// Scans that are looked at.
const MOST_SCANS: u32 = 1_000;

/// Something to do.
#[derive(Debug, Clone)]
pub(super) enum Job {
    /// The night's scan of a site, which was due then.
    Begin(Box<Site>, Timestamp),
    /// A scan that nobody has.
    GoOn(ScanId, SiteId),
    /// A scan of somebody else.
    Help(ScanId, SiteId),
}

impl Job {
    /// What two jobs that must not run in one process at once have in common. A site is scanned once at a time.
    pub fn name(&self) -> String {
        self.site().0.clone()
    }

    pub fn site(&self) -> &SiteId {
        match self {
            Self::Begin(site, _) => &site.id,
            Self::GoOn(_, site) | Self::Help(_, site) => site,
        }
    }
}

/// What the schedules of sites say.
#[derive(Debug)]
pub struct Outlook {
    /// How many sites have one, of those in our pool.
    pub scheduled: usize,
    /// The site that is next, and when; `None` if no time can be said.
    pub next: Option<(SiteId, Zoned)>,
    /// The sites whose night waits for a scan that a person paused.
    pub paused: Vec<(SiteId, ScanId)>,
}

impl Gang {
    /// What the schedules say of the times to come.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn outlook(&self) -> Result<Outlook> {
        let now = (self.now)();
        let mut outlook = Outlook {
            scheduled: 0,
            next: None,
            paused: Vec::new(),
        };
        let sites = self.sites();
        for site in sites.iter() {
            let Some(schedule) = self.schedule(site) else { continue };
            outlook.scheduled += 1;
            let (due, last) = self.asked(site, schedule, now).await?;
            if let Some(last) = last.filter(|last| last.standing(now) == Standing::Paused) {
                outlook.paused.push((site.id.clone(), last.id));
            }
            let at = match due {
                Due::Begin(_) | Due::GoOn => Some(now),
                Due::Wait(at) => at,
            };
            let at = at.and_then(|at| schedule.local(at).ok());
            if let Some(at) = at
                && outlook.next.as_ref().is_none_or(|(_, earliest)| at < *earliest)
            {
                outlook.next = Some((site.id.clone(), at));
            }
        }
        Ok(outlook)
    }

    fn sites(&self) -> Arc<[Site]> {
        Arc::clone(&self.sites.borrow())
    }

    /// What could be done now by one more hand, the most urgent first. Each site once.
    pub(super) async fn find(&self, plan: Plan, memory: &Memory) -> Result<Vec<Job>> {
        let now = (self.now)();
        let mut jobs: Vec<Job> = Vec::new();
        let mut add = |job: Job| {
            if memory.is_free(&job.name()) && !jobs.iter().any(|other| other.name() == job.name()) {
                jobs.push(job);
            }
        };
        let mut night = Vec::new();
        if plan.work {
            for line in self.lines().await? {
                if !memory.is_free(&line.site.0) {
                    continue;
                }
                let Some(job) = self.job_of(&line, now).await? else {
                    continue;
                };
                if line.trigger == Trigger::Nightly && matches!(job, Job::Help(..)) {
                    night.push(job);
                } else {
                    add(job);
                }
            }
        }
        if plan.schedule {
            let sites = self.sites();
            for site in sites.iter() {
                if memory.is_free(&site.id.0)
                    && let Some(job) = self.due(site, now).await?
                {
                    add(job);
                }
            }
        }
        night.into_iter().for_each(add);
        Ok(jobs)
    }

    /// The scans that run and are for our pool, in their order.
    async fn lines(&self) -> Result<Vec<ScanLine>> {
        let mut lines = self.store.scan_lines(WhichScans::Running, MOST_SCANS).await?;
        lines.retain(|line| line.pool == self.pool);
        lines.sort_by_key(ScanLine::rank);
        Ok(lines)
    }

    /// What one more worker could do about a scan that runs.
    async fn job_of(&self, line: &ScanLine, now: Timestamp) -> Result<Option<Job>> {
        if line.is_orphan(now) {
            if line.trigger.is_look() {
                return Ok(None);
            }
            if line.wish.is_some() {
                self.give_up(line, now).await?;
                return Ok(None);
            }
            return Ok(Some(Job::GoOn(line.id.clone(), line.site.clone())));
        }
        if line.wish.is_some() || line.counts.waiting == 0 || line.owner.is_none() {
            return Ok(None);
        }
        let wanted = self.scanner(1).wants_help(&line.id).await?;
        Ok(wanted.then(|| Job::Help(line.id.clone(), line.site.clone())))
    }

    /// Stops a scan that nobody has.
    async fn give_up(&self, line: &ScanLine, now: Timestamp) -> Result<()> {
        if let Some(record) = self.store.scan(&line.id).await? {
            self.store
                .set_scan_state(&line.id, ScanState::Interrupted, Some(now), &record.remarks)
                .await?;
        }
        Ok(())
    }

    /// The schedule of a site that we are to scan.
    fn schedule<'a>(&self, site: &'a Site) -> Option<&'a Schedule> {
        let ours = site.pool() == self.pool || self.pool == DEFAULT_POOL && site.run_on.is_none();
        site.schedule.as_ref().filter(|_| ours)
    }

    /// What a site's schedule says, and its last night.
    async fn asked(&self, site: &Site, schedule: &Schedule, now: Timestamp) -> Result<(Due, Option<ScanLine>)> {
        let last = self.store.last_nightly(&site.id).await?;
        let past = past(last.as_ref(), now);
        // Its file was checked when it was read.
        let due = schedule.due(&site.id, past, now);
        let due = due.map_err(|error| GangError::Schedule {
            site: site.id.clone(),
            why: error.to_string(),
        })?;
        Ok((due, last))
    }

    /// What is to be done about a site, by its schedule.
    async fn due(&self, site: &Site, now: Timestamp) -> Result<Option<Job>> {
        let Some(schedule) = self.schedule(site) else {
            return Ok(None);
        };
        Ok(match self.asked(site, schedule, now).await? {
            (Due::Begin(planned), _) => Some(Job::Begin(Box::new(site.clone()), planned)),
            (Due::GoOn, Some(last)) => Some(Job::GoOn(last.id, last.site)),
            (Due::GoOn | Due::Wait(_), _) => None,
        })
    }
}

/// What a site's last nightly scan came to.
fn past(last: Option<&ScanLine>, now: Timestamp) -> Past {
    let Some(last) = last else { return Past::None };
    match (last.state, last.wish) {
        (ScanState::Running, _) if !last.is_orphan(now) => Past::Running,
        (ScanState::Running | ScanState::Interrupted, None) => Past::Unfinished,
        (ScanState::Running | ScanState::Interrupted, Some(Wish::Pause)) => Past::Paused,
        // Of one that its process did not live to end, it is known until when it lived.
        (ScanState::Running | ScanState::Interrupted, Some(Wish::Stop))
        | (ScanState::Complete | ScanState::Incomplete, _) => {
            let lived = last.owner_until.map(|until| until.min(now));
            Past::Ended(last.ended.or(lived).unwrap_or(last.started))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::ScanCounts;
    use ScanState::{Complete, Incomplete, Interrupted, Running};

    #[test]
    fn what_a_scan_came_to() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let now = at(1_000);
        let line = |state, wish, owner: Option<&str>, until: Option<i64>| ScanLine {
            id: ScanId("s".to_owned()),
            site: SiteId("shop".to_owned()),
            trigger: Trigger::Nightly,
            state,
            started: at(0),
            ended: Some(at(500)),
            owner: owner.map(str::to_owned),
            owner_until: until.map(at),
            wish,
            pool: DEFAULT_POOL.to_owned(),
            counts: ScanCounts::default(),
        };
        let other = Some("elsewhere:7:7");
        for (state, wish, owner, until, expected) in [
            (Running, None, other, Some(1_001), Past::Running),
            (Running, None, other, Some(999), Past::Unfinished),
            (Running, None, None, Some(2_000), Past::Unfinished),
            (Running, None, None, None, Past::Unfinished),
            (Running, Some(Wish::Stop), other, Some(1_001), Past::Running),
            (Running, Some(Wish::Pause), other, Some(1_001), Past::Running),
            (Running, Some(Wish::Stop), other, Some(999), Past::Ended(at(500))),
            (Running, Some(Wish::Pause), other, Some(999), Past::Paused),
            (Running, Some(Wish::Stop), None, None, Past::Ended(at(500))),
            (Interrupted, None, None, Some(1), Past::Unfinished),
            (Interrupted, Some(Wish::Pause), None, Some(1), Past::Paused),
            (Interrupted, Some(Wish::Stop), None, Some(1), Past::Ended(at(500))),
            (Complete, None, None, Some(1), Past::Ended(at(500))),
            (Incomplete, None, None, Some(1), Past::Ended(at(500))),
        ] {
            assert_eq!(
                past(Some(&line(state, wish, owner, until)), now),
                expected,
                "{state:?} {wish:?} {until:?}"
            );
        }
        let died = ScanLine {
            ended: None,
            ..line(Running, Some(Wish::Stop), other, Some(999))
        };
        assert_eq!(past(Some(&died), now), Past::Ended(at(999)), "not its first night");
        assert_eq!(past(None, now), Past::None);
    }
}
