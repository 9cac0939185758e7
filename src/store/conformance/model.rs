//! Random histories against a small model: no page is lost, none is done twice, every count is right.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Handle, Rendered, ask, at, counted, page, start};
use crate::crawl::Lease;
use crate::scan::ScanId;

#[derive(Debug, Clone)]
enum Step {
    Add {
        pages: Vec<u8>,
    },
    Lease {
        by: u8,
        max: u32,
    },
    /// On one of the leases ever given, the running ones and the lost ones alike.
    Complete {
        lease: usize,
        found: Vec<u8>,
    },
    Redirect {
        lease: usize,
        to: u8,
    },
    Release {
        lease: usize,
        crashed: bool,
    },
    Renew {
        lease: usize,
    },
    ReleaseOwner {
        owner: u8,
    },
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let pages = || prop::collection::vec(0..24_u8, 0..5);
    let lease = || 0..64_usize;
    prop_oneof![
        2 => pages().prop_map(|pages| Step::Add { pages }),
        5 => (0..3_u8, 0..4_u32).prop_map(|(by, max)| Step::Lease { by, max }),
        5 => (lease(), pages()).prop_map(|(lease, found)| Step::Complete { lease, found }),
        1 => (lease(), 0..24_u8).prop_map(|(lease, to)| Step::Redirect { lease, to }),
        2 => (lease(), any::<bool>()).prop_map(|(lease, crashed)| Step::Release { lease, crashed }),
        1 => lease().prop_map(|lease| Step::Renew { lease }),
        1 => (0..3_u8).prop_map(|owner| Step::ReleaseOwner { owner }),
        2 => (1..1500_i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

#[derive(Debug, Default, Clone, PartialEq)]
enum State {
    #[default]
    Waiting,
    Leased {
        owner: u8,
        until: i64,
    },
    Done,
}

#[derive(Debug, Default)]
struct Page {
    state: State,
    /// The last lease, as long as its result still counts.
    lease: Option<usize>,
    crashes: u32,
}

struct World {
    store: Handle,
    scan: ScanId,
    /// Names of hosts are the scan's own, as their pace is shared.
    host: String,
    now: i64,
    pages: BTreeMap<String, Page>,
    leases: Vec<Lease>,
}

impl World {
    fn url(&self, page: u8) -> String {
        format!("https://{}{}.test/{page}", self.host, page % 3)
    }

    /// The lease that a step means, and whether its result counts.
    fn pick(&self, lease: usize) -> Option<(usize, Lease, bool)> {
        let index = lease.checked_rem(self.leases.len())?;
        let lease = self.leases[index].clone();
        let counts = self.pages[&lease.key.0].lease == Some(index);
        Some((index, lease, counts))
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Add { pages } => self.add(&pages).await,
            Step::Lease { by, max } => self.lease(by, max).await,
            Step::Complete { lease, found } => self.complete(lease, &found).await,
            Step::Redirect { lease, to } => self.redirect(lease, to).await,
            Step::Release { lease, crashed } => self.release(lease, crashed).await,
            Step::Renew { lease } => self.renew(lease).await,
            Step::ReleaseOwner { owner } => self.release_owner(owner).await,
            Step::Wait { ms } => self.now += ms,
        }
        let state = |wanted: fn(&State) -> bool| self.pages.values().filter(|page| wanted(&page.state)).count() as u64;
        let expected = [
            state(|state| *state == State::Waiting),
            state(|state| matches!(state, State::Leased { .. })),
            state(|state| *state == State::Done),
            0,
            0,
        ];
        assert_eq!(counted(&self.store, &self.scan).await, expected);
    }

    async fn add(&mut self, pages: &[u8]) {
        let urls: Vec<String> = pages.iter().map(|page| self.url(*page)).collect();
        let new: Vec<_> = urls.iter().map(|url| page(url, 1)).collect();
        let before = self.pages.len();
        for url in urls {
            self.pages.entry(url).or_default();
        }
        let added = self.store.add_pages(&self.scan, &new).await.unwrap();
        assert_eq!(usize::try_from(added).unwrap(), self.pages.len() - before);
    }

    async fn lease(&mut self, by: u8, max: u32) {
        for page in self.pages.values_mut() {
            if matches!(page.state, State::Leased { until, .. } if until <= self.now) {
                page.state = State::Waiting;
            }
        }
        let waiting = self.pages.values().filter(|page| page.state == State::Waiting).count();
        let owner = by.to_string();
        let leases = self.store.lease(&ask(&self.scan, &owner, max, self.now)).await.unwrap();
        assert_eq!(leases.len(), waiting.min(max as usize));
        for lease in leases {
            let page = self.pages.get_mut(&lease.key.0).expect("only what was added is leased");
            assert_eq!(page.state, State::Waiting);
            assert_eq!((lease.crashes, lease.alone), (page.crashes, page.crashes > 0));
            page.state = State::Leased {
                owner: by,
                until: self.now + 1000,
            };
            page.lease = Some(self.leases.len());
            self.leases.push(lease);
        }
    }

    async fn complete(&mut self, lease: usize, found: &[u8]) {
        let Some((_, lease, counts)) = self.pick(lease) else {
            return;
        };
        let urls: Vec<String> = found.iter().map(|page| self.url(*page)).collect();
        let found: Vec<&str> = urls.iter().map(String::as_str).collect();
        let recorded = Rendered::done(&lease)
            .finding(&found)
            .record(&self.store, self.now)
            .await;
        assert_eq!(recorded, counts);
        if recorded {
            self.close(&lease.key.0);
            for url in urls {
                self.pages.entry(url).or_default();
            }
        }
    }

    async fn redirect(&mut self, lease: usize, to: u8) {
        let Some((_, lease, counts)) = self.pick(lease) else {
            return;
        };
        let target = self.url(to);
        let recorded = Rendered::done(&lease)
            .redirected(&target)
            .record(&self.store, self.now)
            .await;
        assert_eq!(recorded, counts);
        if recorded {
            self.close(&lease.key.0);
            if self.pages.entry(target.clone()).or_default().state == State::Waiting {
                self.close(&target);
            }
        }
    }

    fn close(&mut self, key: &str) {
        let page = self.pages.get_mut(key).expect("it is known");
        page.state = State::Done;
        page.lease = None;
    }

    async fn release(&mut self, lease: usize, crashed: bool) {
        let Some((_, lease, counts)) = self.pick(lease) else {
            return;
        };
        self.store.release(&lease, crashed).await.unwrap();
        if counts {
            let page = self.pages.get_mut(&lease.key.0).expect("it is known");
            page.state = State::Waiting;
            page.lease = None;
            page.crashes += u32::from(crashed);
        }
    }

    async fn renew(&mut self, lease: usize) {
        let Some((_, lease, counts)) = self.pick(lease) else {
            return;
        };
        let page = self.pages.get_mut(&lease.key.0).expect("it is known");
        let until = self.now + 1000;
        let mine = match &mut page.state {
            State::Leased { until: end, .. } if counts => {
                *end = until;
                true
            }
            _ => false,
        };
        assert_eq!(self.store.renew(&lease, at(until)).await.unwrap(), mine);
    }

    async fn release_owner(&mut self, owner: u8) {
        let mut released = 0;
        for page in self.pages.values_mut() {
            if matches!(page.state, State::Leased { owner: by, .. } if by == owner) {
                page.state = State::Waiting;
                page.lease = None;
                released += 1;
            }
        }
        let owner = owner.to_string();
        assert_eq!(self.store.release_owner(&self.scan, &owner).await.unwrap(), released);
    }

    /// Whatever happened, one worker that is left alone looks at every page that nobody has looked at.
    async fn finish(mut self) {
        self.now += 5000;
        let mut left = self.pages.values().filter(|page| page.state != State::Done).count();
        while left > 0 {
            let leases = self.store.lease(&ask(&self.scan, "last", 5, self.now)).await.unwrap();
            assert!(!leases.is_empty(), "{left} pages are lost");
            for lease in leases {
                assert_ne!(self.pages[&lease.key.0].state, State::Done, "done twice");
                assert!(Rendered::done(&lease).record(&self.store, self.now).await);
                self.close(&lease.key.0);
                left -= 1;
            }
        }
        assert_eq!(
            counted(&self.store, &self.scan).await,
            [0, 0, self.pages.len() as u64, 0, 0]
        );
        assert_eq!(
            self.store
                .next_lease_at(&ask(&self.scan, "last", 5, self.now))
                .await
                .unwrap(),
            None
        );
    }
}

pub(crate) async fn random_histories_lose_nothing(one: Handle, two: Handle) {
    let runtime = tokio::runtime::Handle::current();
    let check = move || {
        let mut case = 0;
        let histories = prop::collection::vec(step(), 1..60);
        let mut runner = TestRunner::new(Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        });
        let counter = std::cell::RefCell::new(&mut case);
        runner.run(&histories, |steps| {
            let name = {
                let mut case = counter.borrow_mut();
                **case += 1;
                format!("m{case}")
            };
            runtime.block_on(history(&one, &two, &name, steps));
            Ok(())
        })
    };
    tokio::task::spawn_blocking(check).await.unwrap().unwrap();
}

/// The steps of one history, taken by two processes in turn.
async fn history(one: &Handle, two: &Handle, name: &str, steps: Vec<Step>) {
    let mut world = World {
        store: one.clone(),
        scan: start(one, name, &[]).await,
        host: format!("{name}-"),
        now: 0,
        pages: BTreeMap::new(),
        leases: Vec::new(),
    };
    for (index, step) in steps.into_iter().enumerate() {
        world.store = if index % 2 == 0 { one } else { two }.clone();
        world.take(step).await;
    }
    world.finish().await;
}
