//! Budget, cut and stop.

use super::*;
use crate::egress::DialError;

fn big(_: &str) -> Vec<u8> {
    response(&"x".repeat(1 << 20))
}

#[tokio::test]
async fn the_budget_ends_all_traffic() {
    let server = Server::start(big).await;
    let budget = 100_000;
    let egress = proxy(
        EgressRules {
            byte_budget: Some(budget),
            ..mapped(server.address)
        },
        &[],
    )
    .await;
    let mut idle = Browser::new(&egress).await;
    idle.connect("shop.test:443").await;
    assert!(!egress.budget_exhausted());

    let mut busy = Browser::new(&egress).await;
    busy.send("GET http://shop.test/ HTTP/1.1\r\n\r\n").await;
    let got = busy.rest().await;
    assert!(got.len() < 1 << 20, "{}", got.len());
    assert!(egress.budget_exhausted());
    assert_eq!(idle.rest().await, b"");

    let counters = egress.counters();
    assert!(counters.bytes_in + counters.bytes_out > budget);
    // One read more than the budget, at most.
    assert!(counters.bytes_in < budget + (512 << 10), "{counters:?}");
    for answer in [
        get(&egress, "http://shop.test/").await,
        connect(&egress, "shop.test:443").await,
    ] {
        assert_eq!((answer.status, answer.code()), (502, Some("budget")));
    }
    assert_eq!(egress.last_error("shop.test", 80), Some(DialError::Budget));
}

#[tokio::test]
async fn a_budget_that_is_not_used_up_changes_nothing() {
    let server = Server::start(big).await;
    let egress = proxy(
        EgressRules {
            byte_budget: Some(2 << 20),
            ..mapped(server.address)
        },
        &[],
    )
    .await;
    assert_eq!(get(&egress, "http://shop.test/").await.body.len(), 1 << 20);
    assert!(!egress.budget_exhausted());
}

/// A tunnel, a response that never comes, and an idle connection.
async fn three_kinds(egress: &Egress, server: &TcpListener) -> [Browser; 3] {
    let mut tunnel = Browser::new(egress).await;
    tunnel.connect("shop.test:443").await;
    let mut waiting = Browser::new(egress).await;
    waiting.send("GET http://shop.test/ HTTP/1.1\r\n\r\n").await;
    for _ in 0..2 {
        let (stream, _) = within(server.accept()).await.unwrap();
        // Kept open, silent, until the test is over.
        std::mem::forget(stream.into_std().unwrap());
    }
    [tunnel, waiting, Browser::new(egress).await]
}

#[tokio::test]
async fn a_cut_closes_everything_and_lets_nothing_new_in() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(server.local_addr().unwrap()), &[]).await;
    let browsers = three_kinds(&egress, &server).await;
    egress.cut();
    for mut browser in browsers {
        assert!(!String::from_utf8_lossy(&browser.rest().await).contains(" 200 "));
    }
    let address = egress.address();
    within(egress.stop()).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_proxy_is_stopped() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(server.local_addr().unwrap()), &[]).await;
    let tasks = egress.tasks.clone();
    let browsers = three_kinds(&egress, &server).await;
    drop(egress);
    for mut browser in browsers {
        browser.rest().await;
    }
    tasks.close();
    within(tasks.wait()).await;
}

/// What a browser leaves must not stay: the server here never closes and never answers.
#[tokio::test]
async fn a_client_that_goes_takes_its_request_along() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(server.local_addr().unwrap()), &[]).await;
    let mut browser = Browser::new(&egress).await;
    browser.send("GET http://shop.test/ HTTP/1.1\r\n\r\n").await;
    let (mut stream, _) = within(server.accept()).await.unwrap();
    within(read_head(&mut stream)).await.unwrap();
    drop(browser);
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap(), 0);
}

/// Waits for nobody longer than a moment.
async fn impatient(to: SocketAddr) -> Egress {
    let moment = Duration::from_millis(100);
    let patience = Patience {
        request: moment,
        response: moment,
        linger: moment,
    };
    Egress::start_with(mapped(to), Names::of(&[]), patience).await.unwrap()
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let egress = impatient("127.0.0.1:1".parse().unwrap()).await;
    for start in ["", "GET http://shop.test/ HTTP/1.1\r\nX: "] {
        let mut browser = Browser::new(&egress).await;
        browser.send(start).await;
        browser.rest().await;
    }
    assert_eq!(egress.counters().connections, 0);
}

#[tokio::test]
async fn a_response_that_never_comes_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = impatient(silent.local_addr().unwrap()).await;
    let answer = get(&egress, "http://shop.test/").await;
    assert_eq!((answer.status, answer.code()), (502, Some("timeout")));
    assert_eq!(
        egress.last_error("shop.test", 80).map(|error| error.code()),
        Some("timeout")
    );
}

#[tokio::test]
async fn half_a_tunnel_does_not_stay() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = impatient(server.local_addr().unwrap()).await;
    let mut browser = Browser::new(&egress).await;
    browser.connect("shop.test:443").await;
    let (_silent, _) = within(server.accept()).await.unwrap();
    browser.0.shutdown().await.unwrap();
    assert_eq!(browser.rest().await, b"");
}
