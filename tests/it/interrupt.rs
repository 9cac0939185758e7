//! Ctrl-C: once stops cleanly and soon, twice at once; what was interrupted is resumed.

use std::time::{Duration, Instant};

use phantom_gang::demo::{Ask, Body, Reply};
use rustix::process::Signal;
use tokio::process::Child;

use crate::faults::profiles;
use crate::garden::{Garden, undisturbed};
use crate::processes::{Herd, signal};
use crate::support::{Bench, Ran, end_of};

/// A stop may take this long.
const SOON: Duration = Duration::from_secs(3);

/// Interrupts a run so many times once something was asked for. Returns how it ended, and how long that took.
async fn interrupt(mut child: Child, times: u32, reached: impl Fn() -> bool) -> (Ran, Duration) {
    let pid = child.id().unwrap();
    let mut herd = Herd::of(pid);
    while !reached() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended too early: {:#?}",
            end_of(child).await
        );
        herd.look();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    herd.look();
    let began = Instant::now();
    for time in 0..times {
        if time > 0 {
            // Two signals that wait together are one.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        signal(pid, Signal::INT);
    }
    let ran = end_of(child).await;
    let took = began.elapsed();
    herd.must_be_gone().await;
    (ran, took)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_scan_ends_soon_and_is_resumed() {
    let calm = undisturbed().await;
    let garden = Garden::plant().await;
    let child = garden.bench.command(&["scan", "garden"]).spawn().unwrap();
    let (ran, took) = interrupt(child, 1, || garden.visits() >= calm.visits / 2).await;
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    assert!(took < SOON, "it took {took:?}: {ran:#?}");
    assert!(ran.stderr.contains("Stopping; what was found is saved"), "{ran:#?}");
    assert!(ran.stdout.contains("go on   phantom scan --resume 2"), "{ran:#?}");
    assert!(ran.stdout.contains("Interrupted"), "{ran:#?}");
    assert_eq!(profiles(&garden.bench), Vec::<String>::new());
    let ran = garden.bench.run(&["scan", "--resume"]).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(garden.harvest().await, calm.harvest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_ends_at_once() {
    let calm = undisturbed().await;
    let garden = Garden::plant().await;
    let child = garden.bench.command(&["scan", "garden"]).spawn().unwrap();
    let (ran, took) = interrupt(child, 2, || garden.visits() >= calm.visits / 2).await;
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    let ran = garden.bench.run(&["scan", "--resume"]).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(garden.harvest().await, calm.harvest);
    assert_eq!(profiles(&garden.bench), Vec::<String>::new());
}

/// Wherever a server is silent, a stop does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn silence_does_not_hold_up_a_stop() {
    for silent in ["/robots.txt", "/", "/sitemap.xml"] {
        let site = move |ask: &Ask<'_>| match ask.path {
            path if path == silent => Reply::html("").body(Body::Silence),
            "/" => Reply::html("<p>one page"),
            _ => Reply::status(axum::http::StatusCode::NOT_FOUND),
        };
        let bench = Bench::of(site, "").await;
        let child = bench.command(&["scan", "https://silent.test/"]).spawn().unwrap();
        let asked = || bench.microsite.log.entries().iter().any(|one| one.path == silent);
        let (ran, took) = interrupt(child, 1, asked).await;
        assert_eq!(ran.code, Some(130), "{silent}: {ran:#?}");
        assert!(took < SOON, "{silent}: it took {took:?}");
        assert!(ran.stdout.contains("phantom scan --resume 2"), "{silent}: {ran:#?}");
    }
}
