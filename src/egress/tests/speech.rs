//! What is passed on, and how.

use super::*;

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(listener.local_addr().unwrap()), &[]).await;
    let mut browser = Browser::new(&egress).await;
    assert_eq!(browser.connect("shop.test:443").await.status, 200);
    let (mut server, _) = within(listener.accept()).await.unwrap();

    server.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    within(browser.0.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"hello");

    let sent = vec![7; 1 << 20];
    let (received, ()) = within(async {
        let mut received = vec![0; sent.len()];
        tokio::join!(
            async { server.read_exact(&mut received).await.map(|_| received) },
            async {
                browser.0.write_all(&sent).await.unwrap();
            }
        )
    })
    .await;
    assert_eq!(received.unwrap(), sent);

    let counters = egress.counters();
    assert_eq!((counters.bytes_in, counters.bytes_out), (5, 1 << 20));
    assert_eq!((counters.connections, counters.refused), (1, 0));
}

#[tokio::test]
async fn each_end_of_a_tunnel_ends_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(listener.local_addr().unwrap()), &[]).await;
    for server_first in [true, false] {
        let mut browser = Browser::new(&egress).await;
        browser.connect("shop.test:443").await;
        let (mut server, _) = within(listener.accept()).await.unwrap();
        if server_first {
            drop(server);
            assert_eq!(browser.rest().await, b"");
        } else {
            drop(browser);
            assert_eq!(within(server.read(&mut [0; 1])).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn what_follows_connect_at_once_is_not_lost() {
    let server = Server::echo().await;
    let egress = proxy(mapped(server.address), &[]).await;
    let mut browser = Browser::new(&egress).await;
    browser
        .send("CONNECT shop.test:80 HTTP/1.1\r\n\r\nGET /early HTTP/1.1\r\n\r\n")
        .await;
    assert_eq!(browser.receive().await.status, 200);
    assert!(browser.receive().await.body.starts_with("GET /early HTTP/1.1"));
}

#[tokio::test]
async fn one_connection_may_ask_two_hosts_in_turn() {
    let (a, b) = (Server::echo().await, Server::echo().await);
    let resolve = [("a.test:80", a.address), ("b.test:80", b.address)];
    let resolve = resolve
        .map(|(pattern, to)| (pattern.to_owned(), to.to_string()))
        .to_vec();
    let egress = proxy(
        EgressRules {
            resolve,
            ..EgressRules::default()
        },
        &[],
    )
    .await;
    let mut browser = Browser::new(&egress).await;
    for host in ["a.test", "b.test", "a.test", "a.test", "b.test"] {
        let answer = browser.get(&format!("http://user:secret@{host}/x?y=1")).await;
        assert_eq!(answer.status, 200);
        let lines: Vec<_> = answer.body.lines().collect();
        assert_eq!(lines[0], "GET /x?y=1 HTTP/1.1");
        assert!(lines.contains(&format!("Host: {host}").as_str()), "{lines:?}");
        assert!(!answer.body.contains("secret"));
    }
    // A second request to the same host in a row goes over the same connection.
    assert_eq!((a.connections(), b.connections()), (2, 2));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let server = Server::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    let closing =
        Server::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: Connection: close\r\n\r\n".to_vec()).await;
    for (server, connections) in [(server, 1), (closing, 3)] {
        let egress = proxy(mapped(server.address), &[]).await;
        let mut browser = Browser::new(&egress).await;
        for _ in 0..3 {
            assert_eq!(browser.get("http://shop.test/").await.status, 200);
        }
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(listener.local_addr().unwrap()), &[]).await;
    let mut browser = Browser::new(&egress).await;
    browser
        .send("POST http://shop.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    let (mut server, _) = within(listener.accept()).await.unwrap();
    let head = within(read_head(&mut server)).await.unwrap().to_ascii_lowercase();
    assert!(
        head.contains("transfer-encoding: chunked") && !head.contains("content-length"),
        "{head}"
    );
    // The body has no end yet, and neither has the answer: both arrive all the same.
    let mut got = [0; 8];
    within(server.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"3\r\nabc\r\n");
    server
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n")
        .await
        .unwrap();
    let head = within(read_head(&mut browser.0)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    within(browser.0.read_exact(&mut got[..7])).await.unwrap();
    assert_eq!(&got[..7], b"2\r\nde\r\n");
}

#[tokio::test]
async fn redirects_are_left_alone_and_our_own_header_is_not_believed() {
    let server = Server::start(|_| {
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\nX-Phantom-Egress: refused\r\nX-Case: Kept\r\n\
          Connection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    })
    .await;
    let egress = proxy(mapped(server.address), &[]).await;
    let answer = get(&egress, "http://shop.test/").await;
    assert_eq!((answer.status, answer.code()), (302, None));
    assert_eq!(answer.headers["location"], "https://elsewhere.test/");
    assert_eq!(answer.headers["x-case"], "Kept");
    assert!(!answer.headers.contains_key("x-hop"));
}

#[tokio::test]
async fn what_a_proxy_is_not_asked_is_answered_with_400() {
    let egress = proxy(EgressRules::default(), &[]).await;
    for line in [
        "GET / HTTP/1.1",
        "GET https://a.test/ HTTP/1.1",
        "CONNECT a.test HTTP/1.1",
        "CONNECT a.test:0 HTTP/1.1",
    ] {
        let mut browser = Browser::new(&egress).await;
        browser.send(format!("{line}\r\nHost: a.test\r\n\r\n")).await;
        let answer = browser.receive().await;
        assert_eq!((answer.status, answer.code()), (400, Some("malformed")), "{line}");
    }
}

#[tokio::test]
async fn a_request_may_be_asked_through_two_proxies() {
    let server = Server::echo().await;
    let behind = proxy(mapped(server.address), &[]).await;
    let upstream = Some(format!("http://{}", behind.address()).parse().unwrap());
    // It knows no names: they are the other one's business.
    let egress = proxy(
        EgressRules {
            upstream,
            ..EgressRules::default()
        },
        &[],
    )
    .await;

    assert!(
        get(&egress, "http://shop.test/plain")
            .await
            .body
            .starts_with("GET /plain")
    );
    let mut browser = Browser::new(&egress).await;
    assert_eq!(browser.connect("shop.test:443").await.status, 200);
    browser.send("GET /tunnel HTTP/1.1\r\n\r\n").await;
    assert!(browser.receive().await.body.starts_with("GET /tunnel"));
    assert_eq!(behind.counters().connections, 2);

    assert_eq!(connect(&egress, "unknown.example:443").await.code(), Some("upstream"));
    for literal in ["10.0.0.1:443", "[fd00::1]:443", "localhost:443", "2130706433:443"] {
        assert_eq!(connect(&egress, literal).await.code(), Some("refused"), "{literal}");
    }
}

#[tokio::test]
async fn the_upstream_proxy_is_told_who_we_are_and_its_no_is_reported() {
    let upstream = Server::start(|head| {
        if head.contains("Basic dXM6cHc=") && head.contains("good.test") {
            response(head)
        } else {
            b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
    })
    .await;
    let url = Some(format!("http://us:pw@{}", upstream.address).parse().unwrap());
    let egress = proxy(
        EgressRules {
            upstream: url,
            ..EgressRules::default()
        },
        &[],
    )
    .await;
    let answer = get(&egress, "http://good.test/x").await;
    assert!(
        answer.body.starts_with("GET http://good.test:80/x HTTP/1.1"),
        "{}",
        answer.body
    );
    assert_eq!(connect(&egress, "good.test:443").await.status, 200);
    for answer in [
        get(&egress, "http://bad.test/x").await,
        connect(&egress, "bad.test:443").await,
    ] {
        assert_eq!((answer.status, answer.code()), (502, Some("upstream")));
        assert!(answer.body.contains("login (407)"), "{}", answer.body);
    }
}
