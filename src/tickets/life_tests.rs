//! Tickets through nights, against the sandbox, in both dialects: what people do is respected, and whatever goes wrong
//! on the way, each finding has one ticket a generation and each comment stands there once.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use phantom_checks::Severity;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::testing::{FakeStore, ManualClock, config, finding};
use super::{ActionState, Clock, Held, Report, Worker};
use crate::config::{Baseline, Deployment, JiraAuth, JiraConfig, Resolve, SecretSource};
use crate::jira::{label, plain_adf, plain_wiki};
use crate::sandbox::{Faults, Sandbox, SandboxIssue, SandboxOptions};
use crate::store::TicketStore;
use crate::triage::{Decision, FindingState};

const LONG: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const BOTH: [Deployment; 2] = [Deployment::Cloud, Deployment::DataCenter];

pub(super) struct Nights {
    pub store: Arc<FakeStore>,
    pub clock: Arc<ManualClock>,
    pub sandbox: Sandbox,
    pub config: JiraConfig,
    _token: NamedTempFile,
}

impl Nights {
    pub async fn new(deployment: Deployment) -> Self {
        let clock = Arc::new(ManualClock::default());
        let time = Arc::clone(&clock);
        let options = SandboxOptions {
            deployment,
            now: Arc::new(move || time.time()),
            ..SandboxOptions::default()
        };
        let token = NamedTempFile::new().unwrap();
        std::fs::write(token.path(), &options.token).unwrap();
        let user = options.user.clone();
        let sandbox = Sandbox::start(options).await.unwrap();
        let mut config = config(sandbox.base_url());
        config.deployment = deployment;
        config.auth = JiraAuth::Basic {
            user,
            token: SecretSource::File(token.path().to_owned()),
        };
        Self {
            store: Arc::default(),
            clock,
            sandbox,
            config,
            _token: token,
        }
    }

    pub fn worker(&self) -> Worker {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Worker::new(self.store.clone(), &self.config).unwrap().with_clock(clock)
    }

    pub async fn run(&self) -> Report {
        self.worker().run(LONG, &CancellationToken::new()).await.unwrap()
    }

    pub fn put(&self, number: u32, state: FindingState, severity: Severity) {
        let mut one = finding(number);
        one.state = state;
        one.severity = severity;
        let now = self.clock.time();
        match state {
            FindingState::New | FindingState::Seen | FindingState::Regressed => one.last_seen = now,
            FindingState::Fixed => one.past.fixed = Some(now),
            FindingState::Withdrawn => one.past.withdrawn = Some(now),
            FindingState::NotObserved | FindingState::Suppressed => {}
        }
        self.store.see(one);
    }

    /// One night: the scan says so, then tickets are worked on.
    pub async fn night(&self, state: FindingState) -> Report {
        self.clock.advance(DAY);
        self.put(1, state, Severity::High);
        self.run().await
    }

    pub fn issue(&self, key: &str) -> SandboxIssue {
        self.sandbox.issue(key).unwrap()
    }

    pub fn comments(&self, key: &str) -> Vec<String> {
        comments(&self.issue(key))
    }
}

fn comments(issue: &SandboxIssue) -> Vec<String> {
    let text = |body: &serde_json::Value| body.as_str().map_or_else(|| plain_adf(body), plain_wiki);
    issue.comments.iter().map(|one| text(&one.body)).collect()
}

#[tokio::test]
async fn a_ticket_through_the_nights() {
    for deployment in BOTH {
        let mut nights = Nights::new(deployment).await;
        nights.config.lifecycle.resolve = Resolve::Transition;
        assert_eq!(nights.night(FindingState::New).await.created, 1);
        assert_eq!(nights.night(FindingState::Seen).await.unchanged, 1);
        assert_eq!(nights.night(FindingState::NotObserved).await.unchanged, 1);

        // Proved fixed: said and resolved, once.
        assert_eq!(nights.night(FindingState::Fixed).await.changed, 1);
        assert!(nights.issue("SEC-1").status.is_done());
        assert!(
            nights.comments("SEC-1")[0].starts_with("Fixed: "),
            "{:?}",
            nights.comments("SEC-1")
        );

        // It comes back: nothing within the grace, then reopened with a comment.
        assert_eq!(nights.night(FindingState::Regressed).await.unchanged, 1);
        let report = nights.night(FindingState::Regressed).await;
        assert_eq!((report.changed, report.dead), (1, vec![]), "{deployment:?}");
        assert!(!nights.issue("SEC-1").status.is_done());
        assert!(nights.comments("SEC-1")[1].starts_with("Seen again"));

        // A person closes it; it stays closed for the grace and is reopened once more, then never.
        for expected in [3, 4, 4] {
            assert!(nights.sandbox.person().close("SEC-1", Some("Done")));
            nights.night(FindingState::Seen).await;
            assert!(nights.issue("SEC-1").status.is_done(), "the grace");
            nights.clock.advance(DAY);
            nights.night(FindingState::Seen).await;
            assert_eq!(nights.comments("SEC-1").len(), expected);
            if nights.issue("SEC-1").status.is_done() {
                break;
            }
        }
        assert!(nights.issue("SEC-1").status.is_done());
        assert!(nights.comments("SEC-1")[3].starts_with("Still there"));

        // Long after, the next generation follows, linked to the old.
        nights.clock.advance(DAY * 100);
        assert_eq!(nights.night(FindingState::Seen).await.created, 1);
        let second = nights.issue("SEC-2");
        assert!(second.labels.contains(&label(&finding(1).fingerprint, 2)));
        assert_eq!(nights.sandbox.links().len(), 1);
        assert_eq!(nights.night(FindingState::Seen).await.unchanged, 1);
        assert_eq!(nights.sandbox.issues().len(), 2);
    }
}

#[tokio::test]
async fn a_ticket_whose_creation_was_not_answered_is_found_though_its_finding_is_not_seen_any_more() {
    for deployment in BOTH {
        let nights = Nights::new(deployment).await;
        nights.sandbox.set_faults(Faults {
            drop_creates: 1,
            ..Faults::default()
        });
        nights.put(1, FindingState::New, Severity::High);
        let report = nights.worker().run(Duration::ZERO, &CancellationToken::new()).await;
        assert_eq!(report.unwrap().created, 0, "nobody said that it was");
        assert!(nights.store.links().is_empty());
        let report = nights.night(FindingState::NotObserved).await;
        assert_eq!(
            (report.created, report.adopted, report.waiting),
            (0, 1, 0),
            "{report:?}"
        );
        assert_eq!(nights.store.links().len(), 1);
        assert_eq!(nights.sandbox.issues().len(), 1);
    }
}

#[tokio::test]
async fn what_a_person_decides_becomes_a_suppression_and_ends_with_it() {
    for deployment in BOTH {
        let nights = Nights::new(deployment).await;
        nights.night(FindingState::New).await;
        assert!(nights.sandbox.person().close("SEC-1", Some("Won't Do")));
        assert_eq!(nights.night(FindingState::Seen).await.changed, 1);
        let known = nights.store.known_suppressions();
        assert_eq!(known.len(), 1);
        assert_eq!(
            (known[0].decision, known[0].ticket.as_deref()),
            (Decision::WontFix, Some("SEC-1"))
        );
        assert_ne!(known[0].author, "Jira", "the person is named");
        assert_eq!(nights.store.finding_now(1).state, FindingState::Suppressed);
        assert!(nights.comments("SEC-1").is_empty());
        // The decision is taken back.
        assert!(nights.sandbox.person().reopen("SEC-1"));
        nights
            .store
            .wish(&[finding(1).fingerprint], nights.clock.time())
            .await
            .unwrap();
        nights.run().await;
        assert_eq!(nights.store.finding_now(1).state, FindingState::Seen);
        assert!(nights.store.known_suppressions().is_empty());
        // And made again, by the label.
        assert!(nights.sandbox.person().label("SEC-1", "phantom-ignore"));
        nights.night(FindingState::Seen).await;
        assert_eq!(nights.store.known_suppressions()[0].decision, Decision::Ignored);
    }
}

#[tokio::test]
async fn worse_edits_our_block_alone_and_says_so_once() {
    for deployment in BOTH {
        let nights = Nights::new(deployment).await;
        nights.night(FindingState::New).await;
        nights.sandbox.edit("SEC-1", |issue| {
            issue.summary = "Ours now".to_owned();
            issue.priority = "Low".to_owned();
        });
        nights.store.spread(&finding(1), 60);
        for _ in 0..2 {
            nights.clock.advance(DAY);
            nights.put(1, FindingState::Seen, Severity::Critical);
            nights.run().await;
        }
        let issue = nights.issue("SEC-1");
        assert_eq!((issue.summary.as_str(), issue.priority.as_str()), ("Ours now", "Low"));
        assert_eq!(comments(&issue).len(), 1);
        assert_eq!(issue.attachments.len(), 1, "the list of all pages");
        assert!(issue.description.to_string().contains("critical") || comments(&issue)[0].contains("critical"));
    }
}

#[tokio::test]
async fn a_ticket_that_is_gone_is_an_orphan_after_some_nights() {
    let nights = Nights::new(Deployment::Cloud).await;
    nights.night(FindingState::New).await;
    assert!(nights.sandbox.delete("SEC-1"));
    for _ in 0..4 {
        assert_eq!(nights.night(FindingState::Seen).await.gone, 1);
    }
    let actions = nights.store.actions(&finding(1).fingerprint).await.unwrap();
    assert!(actions.iter().any(|one| one.key.ends_with("/orphan")));
    assert!(nights.sandbox.issues().is_empty());
    // A person wants a new one. There is nothing left that it could be linked to.
    let now = nights.clock.time();
    let chosen = super::retry(nights.store.as_ref(), Some("SEC-1"), true, now)
        .await
        .unwrap();
    assert_eq!(chosen, [finding(1).fingerprint]);
    let report = nights.run().await;
    assert_eq!((report.created, report.dead), (1, vec![]));
    assert!(nights.sandbox.links().is_empty());
    assert_eq!(nights.night(FindingState::Seen).await.unchanged, 1);
}

#[tokio::test]
async fn a_day_has_a_cap_and_one_digest() {
    let mut nights = Nights::new(Deployment::Cloud).await;
    nights.config.lifecycle.max_new_per_day = 2;
    (1..=5).for_each(|number| nights.put(number, FindingState::New, Severity::High));
    nights.put(6, FindingState::New, Severity::Critical);
    let report = nights.run().await;
    assert_eq!((report.created, report.held), (2, 4));
    let filed = nights.sandbox.issues();
    assert!(
        filed.iter().any(|one| one.summary.starts_with("[Critical]")),
        "the worst first"
    );
    assert_eq!(filed.len(), 3, "and a digest");
    nights.run().await;
    assert_eq!(nights.sandbox.issues().len(), 3);
    for expected in [5, 7] {
        nights.clock.advance(DAY);
        nights.run().await;
        assert_eq!(nights.sandbox.issues().len(), expected);
    }
}

#[tokio::test]
async fn a_baseline_is_recorded_then_filed_at_its_pace() {
    let mut nights = Nights::new(Deployment::Cloud).await;
    nights.config.lifecycle.baseline = Baseline::Release { per_week: 2 };
    (1..=3).for_each(|number| nights.put(number, FindingState::New, Severity::High));
    assert_eq!(nights.run().await.held, 3, "the first run records");
    nights.store.set_baseline_end(nights.clock.time());
    nights.clock.advance(DAY);
    // What is new since then is not part of it.
    let mut new = finding(4);
    new.first_seen = nights.clock.time();
    nights.store.see(new);
    let report = nights.run().await;
    assert_eq!((report.created, report.held), (3, 1));
    nights.clock.advance(DAY);
    assert_eq!(nights.run().await.created, 0);
    nights.clock.advance(DAY * 7);
    assert_eq!(nights.run().await.created, 1);
}

#[tokio::test]
async fn too_many_changes_are_held_until_a_person_releases_them() {
    let nights = Nights::new(Deployment::Cloud).await;
    nights.store.set_baseline_end(jiff::Timestamp::UNIX_EPOCH);
    nights.put(1, FindingState::New, Severity::High);
    nights.run().await;
    nights.clock.advance(DAY);
    (2..=30).for_each(|number| nights.put(number, FindingState::New, Severity::High));
    let report = nights.run().await;
    assert_eq!((report.created, report.held), (0, 29));
    assert_eq!(nights.sandbox.issues().len(), 2, "and one incident");
    let mut hold = nights.store.holds().await.unwrap().remove(0);
    assert_eq!((hold.project.as_str(), hold.changes, hold.released), ("SEC", 29, None));
    nights.clock.advance(DAY);
    assert_eq!(nights.run().await.created, 0);
    assert_eq!(nights.sandbox.issues().len(), 2);
    hold.released = Some(nights.clock.time());
    nights.store.put_hold(&hold).await.unwrap();
    nights.clock.advance(DAY / 2);
    let waiting = nights.store.due_intents(jiff::Timestamp::MAX, 100, None).await.unwrap();
    assert!(waiting.iter().all(|one| one.held == Some(Held::Breaker)));
    super::release(nights.store.as_ref(), "SEC", nights.clock.time())
        .await
        .unwrap();
    assert_eq!(nights.run().await.created, 29);
}

/// Polls a future this many times at most. True if it came to its end.
pub(super) async fn cut_off(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(sides)).unwrap()
    }
}

fn some_faults(dice: &mut Dice) -> Faults {
    let mut faults = Faults {
        search_lag: Duration::from_secs(u64::from(dice.roll(61))),
        ..Faults::default()
    };
    match dice.roll(7) {
        0 => faults.drop_creates = dice.roll(3),
        1 => faults.drop_changes = dice.roll(4),
        2 => faults.rate_limited = dice.roll(4),
        3 => faults.server_errors = dice.roll(4),
        4 => faults.unauthorized = dice.roll(2),
        _ => {}
    }
    faults
}

/// Where a death found a changing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It was recorded that it is being sent, and it never arrived.
    Before,
    /// It was on its way: it arrived all the same.
    During,
    /// It was done, and nobody recorded that.
    After,
}

/// Which deaths there were, by the word of the action.
type Deaths = BTreeMap<(String, Phase), u32>;

impl Nights {
    /// A worker that dies: some polls after its first, or some after it was recorded for the n-th time that something
    /// is being sent.
    async fn death(&self, dice: &mut Dice, deaths: &mut Deaths) {
        let (before, asked) = (self.store.sendings().0, self.sandbox.changes());
        let worker = self.worker();
        let stop = CancellationToken::new();
        if dice.roll(3) == 0 {
            cut_off(worker.run(LONG, &stop), usize::try_from(1 + dice.roll(400)).unwrap()).await;
        } else {
            let nth = u64::from(1 + dice.roll(5));
            let mut run = pin!(worker.run(LONG, &stop));
            let mut left = dice.roll(5);
            std::future::poll_fn(|context| {
                let over = run.as_mut().poll(context).is_ready();
                if over || self.store.sendings().0 < before + nth {
                    return if over { Poll::Ready(()) } else { Poll::Pending };
                }
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            })
            .await;
            // What was handed over goes on its way, or arrives, or is answered, and then the connection breaks.
            let slow = !self.sandbox.faults().slow_changes.is_zero();
            match dice.roll(3) {
                0 if !slow => {}
                _ if slow => tokio::time::sleep(Duration::from_micros(u64::from(dice.roll(1_500)))).await,
                _ => {
                    for _ in 0..dice.roll(8) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        drop(worker);
        let (sendings, open) = self.store.sendings();
        let done = |sandbox: &Sandbox| sandbox.changes() - asked == sendings - before;
        let already = done(&self.sandbox);
        self.sandbox.quiet().await;
        if let Some(key) = open {
            let phase = match (already, done(&self.sandbox)) {
                (true, _) => Phase::After,
                (false, true) => Phase::During,
                (false, false) => Phase::Before,
            };
            let word = key.split('/').nth(2).unwrap().to_owned();
            *deaths.entry((word, phase)).or_default() += 1;
        }
    }
}

/// What the nights of a schedule bring: both findings are in this state; in the second night one is on many pages and
/// the other one is worse.
const NIGHTS: [FindingState; 6] = [
    FindingState::New,
    FindingState::Seen,
    FindingState::Fixed,
    FindingState::Regressed,
    FindingState::Fixed,
    FindingState::Regressed,
];

/// One schedule: a few nights, each with faults and with deaths of our own at any point, then one that goes well.
async fn schedule(seed: u64, deployment: Deployment, deaths: &mut Deaths) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut nights = Nights::new(deployment).await;
    nights.config.lifecycle.resolve = Resolve::Transition;
    nights.config.finding_url = Some("https://phantom.test/{{ fingerprint }}".to_owned());
    for (night, state) in NIGHTS.into_iter().enumerate() {
        nights.clock.advance(DAY * 3);
        if night == 1 {
            nights.store.spread(&finding(1), 60);
        }
        for number in 1..=2 {
            let worse = night > 0 && number == 2;
            let severity = if worse { Severity::Critical } else { Severity::High };
            nights.put(number, state, severity);
            // Each night's picture is another one.
            nights
                .store
                .depict(&finding(number), &format!("{number} in night {night}"));
        }
        for _ in 0..dice.roll(4) {
            let slow_changes = Duration::from_millis(u64::from(dice.roll(2)));
            nights.sandbox.set_faults(Faults {
                slow_changes,
                ..some_faults(&mut dice)
            });
            Box::pin(nights.death(&mut dice, deaths)).await;
        }
        let faults = some_faults(&mut dice);
        nights.sandbox.set_faults(Faults {
            unauthorized: 0,
            ..faults
        });
        let report = nights.run().await;
        assert_eq!((report.waiting, &report.paused), (0, &None), "seed {seed} {state}");
        nights.sandbox.set_faults(Faults::default());
    }
    let mut actions = Vec::new();
    for number in 1..=2 {
        let fingerprint = finding(number).fingerprint;
        let ours = label(&fingerprint, 1);
        let issues = nights.sandbox.issues();
        let tickets: Vec<_> = issues.iter().filter(|issue| issue.labels.contains(&ours)).collect();
        assert_eq!(
            tickets.len(),
            1,
            "seed {seed} {deployment:?}: one ticket for finding {number}"
        );
        assert_as_it_should_be(tickets[0], number, seed);
        actions.extend(nights.store.actions(&fingerprint).await.unwrap());
    }
    assert!(
        actions.iter().all(|one| one.state == ActionState::Sent),
        "seed {seed}: {actions:#?}"
    );
    assert_eq!(nights.sandbox.issues().len(), 2, "seed {seed}");
}

/// No comment and no file is missing, and none is there twice.
fn assert_as_it_should_be(ticket: &SandboxIssue, number: u32, seed: u64) {
    assert!(!ticket.status.is_done(), "seed {seed}: it is open in the end");
    let mut said: BTreeMap<String, u32> = BTreeMap::new();
    for comment in comments(ticket) {
        *said.entry(comment).or_default() += 1;
    }
    assert!(said.values().all(|count| *count == 1), "seed {seed}: {said:#?}");
    let begins = |word: &str| said.keys().filter(|one| one.starts_with(word)).count();
    assert_eq!(
        (begins("Fixed"), begins("Seen again"), begins("Worse")),
        (2, 2, 1),
        "seed {seed}: {said:#?}"
    );
    let linked = |one: &(u64, serde_json::Value)| {
        one.1["globalId"]
            .as_str()
            .is_some_and(|id| id.starts_with("phantom-gang="))
    };
    assert_eq!(
        (
            ticket.remote_links.len(),
            ticket.remote_links.iter().filter(|one| linked(one)).count()
        ),
        (1, 1),
        "seed {seed}"
    );
    let files = |start: &str| {
        ticket
            .attachments
            .iter()
            .filter(|one| one.name.starts_with(start))
            .count()
    };
    assert_eq!(
        (
            files("phantom-flaw-"),
            files("affected-pages-"),
            ticket.attachments.len()
        ),
        (1, usize::from(number == 1), if number == 1 { 2 } else { 1 }),
        "seed {seed}: finding {number}"
    );
}

/// Tells which deaths there were, to whoever asks for it.
#[allow(clippy::print_stdout, reason = "shown by `--nocapture` alone")]
fn tell(deaths: &Deaths) {
    for ((word, phase), count) in deaths {
        println!("{count:>6} deaths {phase:?} {word}");
    }
}

/// How many is said by `PHANTOM_SCHEDULES`, 500 without it; which one is the first by `PHANTOM_SEED`.
#[tokio::test]
async fn whatever_goes_wrong_there_is_one_ticket_and_each_comment_once() {
    let number = |name: &str, without: u64| {
        let text = std::env::var(name).ok();
        text.map_or(without, |text| text.parse().unwrap())
    };
    let (first, count) = (number("PHANTOM_SEED", 1), number("PHANTOM_SCHEDULES", 500));
    let mut deaths = Deaths::new();
    for seed in first..first + count {
        Box::pin(schedule(seed, BOTH[usize::try_from(seed % 2).unwrap()], &mut deaths)).await;
    }
    tell(&deaths);
    if count >= 500 {
        for word in [
            "create",
            "say-fixed",
            "say-reopened",
            "say-worse",
            "edit",
            "attach",
            "picture",
            "finding-link",
            "resolve",
            "reopen",
        ] {
            for phase in [Phase::Before, Phase::During, Phase::After] {
                assert!(
                    deaths.contains_key(&(word.to_owned(), phase)),
                    "no death {phase:?} {word}"
                );
            }
        }
    }
}
