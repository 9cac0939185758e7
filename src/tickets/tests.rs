//! The worker against the sandbox: whatever goes wrong, a finding has one ticket.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::testing::{FakeStore, ManualClock, config, finding};
use super::{ActionState, Clock, Event, Report, Timing, Worker, dry_run};
use crate::config::{JiraAuth, JiraConfig, SecretSource};
use crate::jira::{PROPERTY, label};
use crate::sandbox::{Faults, Sandbox, SandboxOptions, SandboxStatus};
use crate::store::TicketStore;

const LONG: Duration = Duration::from_hours(1);

struct Scene {
    store: Arc<FakeStore>,
    clock: Arc<ManualClock>,
    sandbox: Sandbox,
    config: JiraConfig,
    events: Arc<Mutex<Vec<Event>>>,
    token: NamedTempFile,
}

impl Scene {
    async fn new(findings: u32, faults: Faults) -> Self {
        Self::with(findings, faults, SandboxOptions::default()).await
    }

    async fn with(findings: u32, faults: Faults, options: SandboxOptions) -> Self {
        let clock = Arc::new(ManualClock::default());
        let time = Arc::clone(&clock);
        let sandbox = Sandbox::start(SandboxOptions {
            faults,
            now: Arc::new(move || time.time()),
            ..options
        })
        .await
        .unwrap();
        let token = NamedTempFile::new().unwrap();
        std::fs::write(token.path(), SandboxOptions::default().token).unwrap();
        let mut scene = Self {
            store: Arc::new(FakeStore::with((1..=findings).map(finding))),
            config: config(sandbox.base_url()),
            clock,
            sandbox,
            events: Arc::default(),
            token,
        };
        scene.config.auth = scene.auth();
        scene
    }

    fn auth(&self) -> JiraAuth {
        JiraAuth::Basic {
            user: SandboxOptions::default().user,
            token: SecretSource::File(self.token.path().to_owned()),
        }
    }

    fn worker(&self) -> Worker {
        let events = Arc::clone(&self.events);
        let clock: Arc<dyn Clock> = self.clock.clone();
        Worker::new(self.store.clone(), &self.config)
            .unwrap()
            .with_clock(clock)
            .on_event(move |event| events.lock().unwrap().push(event.clone()))
    }

    async fn run(&self, patience: Duration) -> Report {
        self.worker().run(patience, &CancellationToken::new()).await.unwrap()
    }

    /// How many requests of this kind the sandbox got.
    fn sent(&self, method: &str, path: &str) -> usize {
        let log = self.sandbox.log();
        log.iter()
            .filter(|one| one.method == method && one.path == path)
            .count()
    }

    fn assert_one_ticket_each(&self, findings: u32) {
        let issues = self.sandbox.issues();
        for number in 1..=findings {
            let ours = label(&finding(number).fingerprint, 1);
            let tickets = issues.iter().filter(|issue| issue.labels.contains(&ours)).count();
            assert_eq!(tickets, 1, "finding {number}");
        }
        assert_eq!(issues.len(), findings as usize);
        assert_eq!(self.store.links().len(), findings as usize);
        assert!(self.store.states().iter().all(|state| *state == ActionState::Sent));
    }
}

#[tokio::test]
async fn a_ticket_is_created_with_label_and_property_and_never_again() {
    let scene = Scene::new(3, Faults::default()).await;
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.waiting, report.paused), (3, 0, None));
    scene.assert_one_ticket_each(3);
    let issue = &scene.sandbox.issues()[0];
    let link = scene
        .store
        .links()
        .into_iter()
        .find(|link| link.issue_key == issue.key)
        .unwrap();
    assert_eq!(
        issue.properties[PROPERTY],
        json!({ "fingerprint": link.fingerprint, "generation": 1 })
    );
    assert!(issue.summary.starts_with("[High] Script "), "{}", issue.summary);

    // The next night sees the same.
    (1..=3).for_each(|number| scene.store.see(finding(number)));
    let second = scene.run(Duration::ZERO).await;
    assert_eq!((second.created, second.unchanged, second.waiting), (0, 3, 0));

    // A new machine sees the same.
    scene.store.forget_tickets();
    (1..=3).for_each(|number| scene.store.see(finding(number)));
    let third = scene.run(Duration::ZERO).await;
    assert_eq!((third.created, third.adopted, third.waiting), (0, 3, 0));
    assert_eq!(scene.sent("POST", "/rest/api/3/issue"), 3);
}

#[tokio::test]
async fn what_is_not_worth_a_ticket_is_not_filed_and_asks_jira_nothing() {
    let scene = Scene::new(0, Faults::default()).await;
    let mut foreign = finding(1);
    foreign.third_party = true;
    scene.store.see(foreign);
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.not_filed, report.waiting), (1, 0));
    assert_eq!(scene.sent("POST", "/rest/api/3/search/jql"), 0);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_ticket() {
    for lag in [0, 60] {
        let scene = Scene::new(
            3,
            Faults {
                drop_creates: 2,
                search_lag: Duration::from_secs(lag),
                ..Faults::default()
            },
        )
        .await;
        let report = scene.run(LONG).await;
        assert_eq!((report.created, report.adopted, report.waiting), (1, 2, 0), "lag {lag}");
        scene.assert_one_ticket_each(3);
        assert_eq!(scene.sent("POST", "/rest/api/3/issue"), 3);
        assert!(scene.clock.slept() >= Duration::from_secs(lag));
    }
}

#[tokio::test]
async fn a_create_that_did_not_happen_is_sent_again_after_a_while() {
    let scene = Scene::new(1, Faults::default()).await;
    let worker = scene.worker();
    scene.store.see(finding(1));
    // The first create is answered with 503 and was not done; what came before it went well.
    let stop = CancellationToken::new();
    let mut run = pin!(worker.run(LONG, &stop));
    let mut armed = false;
    let report = std::future::poll_fn(|context| {
        if !armed && scene.sent("POST", "/rest/api/3/search/jql") == 1 {
            armed = true;
            scene.sandbox.set_faults(Faults {
                server_errors: 1,
                ..Faults::default()
            });
        }
        run.as_mut().poll(context)
    })
    .await
    .unwrap();
    assert_eq!((report.created, report.waiting), (1, 0));
    scene.assert_one_ticket_each(1);
    assert_eq!(scene.sent("POST", "/rest/api/3/issue"), 2);
    assert!(scene.clock.slept() >= Timing::default().settle);
}

#[tokio::test]
async fn a_pause_that_jira_asks_for_is_kept() {
    let faults = Faults {
        rate_limited: 3,
        retry_after_s: 17,
        ..Faults::default()
    };
    let scene = Scene::new(2, faults).await;
    let report = scene.run(LONG).await;
    assert_eq!((report.created, report.waiting), (2, 0));
    assert_eq!(scene.clock.slept(), Duration::from_secs(3 * 17));

    // Who has no patience leaves it to the next run.
    let scene = Scene::new(2, faults).await;
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.waiting), (0, 2));
    assert!(report.paused.unwrap().contains("17 s"));
    assert_eq!(scene.sandbox.requests(), 1);
}

#[tokio::test]
async fn wrong_credentials_pause_all() {
    let scene = Scene::new(
        5,
        Faults {
            unauthorized: 1,
            ..Faults::default()
        },
    )
    .await;
    let report = scene.run(LONG).await;
    assert_eq!((report.created, report.waiting), (0, 5));
    assert!(report.paused.unwrap().contains("401"));
    assert_eq!(scene.sandbox.requests(), 1);
    let next = scene.run(Duration::ZERO).await;
    assert_eq!((next.created, next.waiting, next.paused), (5, 0, None));
}

#[tokio::test]
async fn a_refused_ticket_is_a_dead_letter_and_the_others_go_on() {
    let mut scene = Scene::with(
        1,
        Faults::default(),
        SandboxOptions {
            custom_fields: vec!["customfield_1".to_owned()],
            ..SandboxOptions::default()
        },
    )
    .await;
    let mut low = finding(2);
    low.severity = phantom_checks::Severity::Medium;
    scene.store.see(low);
    scene
        .config
        .defaults
        .priority
        .insert(phantom_checks::Severity::Medium, "Urgent".to_owned());
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.waiting, report.paused), (1, 0, None));
    assert_eq!(report.dead.len(), 1);
    assert!(
        report.dead[0].error.contains("field priority: "),
        "{}",
        report.dead[0].error
    );
    assert_eq!(scene.store.dead_actions().await.unwrap().len(), 1);

    // With the configuration mended, the next run that sees it files it.
    scene.clock.advance(Duration::from_secs(1));
    scene.config.defaults.priority.clear();
    scene.store.see(finding(2));
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.dead.len()), (1, 0));
    scene.assert_one_ticket_each(2);
}

#[tokio::test]
async fn who_may_not_attach_files_may_file_tickets() {
    let mut scene = Scene::with(
        2,
        Faults::default(),
        SandboxOptions {
            denied: vec!["CREATE_ATTACHMENTS".to_owned()],
            ..SandboxOptions::default()
        },
    )
    .await;
    scene.config.finding_url = Some("https://phantom.test/{{ fingerprint }}".to_owned());
    (1..=2).for_each(|number| scene.store.depict(&finding(number), "png"));
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.waiting, report.paused), (0, None));
    assert_eq!(report.dead.len(), 2, "{:?}", report.dead);
    assert!(report.dead[0].error.contains("403"), "{:?}", report.dead);
    let issues = scene.sandbox.issues();
    assert_eq!(issues.len(), 2);
    assert!(
        issues
            .iter()
            .all(|one| one.attachments.is_empty() && one.remote_links.len() == 1)
    );
    assert_eq!(
        issues[0].remote_links[0].1["object"]["url"],
        format!("https://phantom.test/{}", finding(1).fingerprint)
    );
}

#[tokio::test]
async fn a_refused_search_pauses_instead_of_filing_blindly() {
    let mut scene = Scene::new(2, Faults::default()).await;
    scene.config.defaults.search_projects = vec!["NOWHERE".to_owned()];
    let report = scene.run(LONG).await;
    assert_eq!((report.created, report.waiting), (0, 2));
    let why = report.paused.unwrap();
    assert!(why.contains("NOWHERE") && why.contains("search_projects"), "{why}");
}

#[tokio::test]
async fn an_unreachable_jira_is_waited_for() {
    let mut scene = Scene::new(2, Faults::default()).await;
    let port = {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap().port()
    };
    scene.config.base_url = format!("http://127.0.0.1:{port}").parse().unwrap();
    let report = scene.run(Duration::from_mins(1)).await;
    assert_eq!((report.created, report.waiting), (0, 2));
    assert!(report.paused.unwrap().contains("nothing was changed"));
    assert!(scene.store.states().is_empty());
}

#[tokio::test]
async fn what_people_do_with_tickets_is_respected() {
    let scene = Scene::new(3, Faults::default()).await;
    scene.run(Duration::ZERO).await;
    let links = scene.store.links();
    scene
        .sandbox
        .edit(&links[0].issue_key, |issue| issue.status = SandboxStatus::Done);
    scene
        .sandbox
        .edit(&links[1].issue_key, |issue| issue.key = "WEB-7".to_owned());
    scene.sandbox.delete(&links[2].issue_key);
    (1..=3).for_each(|number| scene.store.see(finding(number)));
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.unchanged, report.gone), (0, 2, 1));
    let moved = scene.store.ticket(&links[1].fingerprint).await.unwrap().unwrap();
    assert_eq!(moved.issue_key, "WEB-7");
    assert_eq!(scene.sandbox.issues().len(), 2);
}

#[tokio::test]
async fn a_ticket_without_property_is_stamped() {
    let scene = Scene::new(1, Faults::default()).await;
    scene.run(Duration::ZERO).await;
    scene.sandbox.edit("SEC-1", |issue| issue.properties.clear());
    scene.store.forget_tickets();
    scene.store.see(finding(1));
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.adopted), (0, 1));
    assert!(scene.sandbox.issues()[0].properties.contains_key(PROPERTY));
}

#[tokio::test]
async fn one_process_at_a_time() {
    let scene = Scene::new(1, Faults::default()).await;
    let now = scene.clock.now();
    let later = now + jiff::SignedDuration::from_hours(9);
    assert!(scene.store.lease_outbox("other", now, later).await.unwrap());
    let report = scene.run(Duration::ZERO).await;
    assert_eq!((report.created, report.waiting), (0, 1));
    assert!(report.paused.unwrap().contains("another process"));
    assert_eq!(scene.sandbox.requests(), 0);
}

#[tokio::test]
async fn who_is_stopped_gives_the_outbox_back() {
    let scene = Scene::new(1, Faults::default()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let report = scene.worker().run(LONG, &stop).await.unwrap();
    assert!(report.paused.is_some() || report.waiting == 0);
    let now = scene.clock.now();
    assert!(scene.store.lease_outbox("other", now, now).await.unwrap());
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent_and_sends_nothing() {
    let scene = Scene::new(1, Faults::default()).await;
    let plans = dry_run(scene.store.as_ref(), &scene.config, None).await.unwrap();
    assert_eq!(scene.sandbox.requests(), 0);
    let shown: Vec<String> = plans[0].calls.iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("POST /rest/api/3/search/jql\n{"), "{}", shown[0]);
    assert!(
        shown[1].contains("[High] Script 1 is loaded over http: shop.test (1 page)"),
        "{}",
        shown[1]
    );

    // A live run sends exactly that.
    scene.run(Duration::ZERO).await;
    let sent: Vec<_> = scene.sandbox.log().into_iter().filter_map(|one| one.body).collect();
    let planned: Vec<_> = plans[0].calls.iter().filter_map(|call| call.body.clone()).collect();
    assert_eq!(sent, planned);
}

/// Polls a future this many times at most. True if it came to its end.
async fn cut_off(future: impl Future, polls: usize) -> bool {
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

/// A process that dies: its run, its connections and its worker are gone at once.
async fn die_after(scene: &Scene, polls: usize) -> bool {
    let worker = scene.worker();
    let ended = cut_off(worker.run(LONG, &CancellationToken::new()), polls).await;
    drop(worker);
    scene.sandbox.quiet().await;
    ended
}

#[tokio::test]
async fn a_crash_at_any_point_makes_no_second_ticket() {
    // A lag longer than the lease of the dead, so that waiting for that is not enough.
    for (drop_creates, lag) in [(0, 0), (1, 0), (0, 90)] {
        let mut polls = 1;
        loop {
            let faults = Faults {
                drop_creates,
                search_lag: Duration::from_secs(lag),
                ..Faults::default()
            };
            let scene = Scene::new(1, faults).await;
            let ended = die_after(&scene, polls).await;
            let report = scene.run(LONG).await;
            assert_eq!((report.waiting, report.paused), (0, None), "died at poll {polls}");
            scene.assert_one_ticket_each(1);
            if ended {
                break;
            }
            polls += 1;
        }
        assert!(polls > 20, "only {polls} points");
    }
}

#[tokio::test]
async fn crash_after_crash_makes_no_second_ticket() {
    let faults = Faults {
        drop_creates: 2,
        search_lag: Duration::from_secs(90),
        ..Faults::default()
    };
    let scene = Scene::new(4, faults).await;
    let mut polls = 3;
    while !die_after(&scene, polls).await {
        polls += 7;
    }
    scene.assert_one_ticket_each(4);
}
