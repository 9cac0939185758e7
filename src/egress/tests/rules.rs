//! What may be reached.

use super::*;
use crate::egress::{DialError, EgressError, Refusal};

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_however_they_are_written() {
    let egress = proxy(EgressRules::default(), &[]).await;
    let table = [
        "127.0.0.1:80",
        "127.1:80",
        "2130706433:80",
        "0x7f000001:80",
        "0177.0.0.1:80",
        "0:80",
        "localhost:80",
        "LocalHost.:80",
        "any.localhost:80",
        "10.0.0.1:80",
        "172.16.0.1:80",
        "192.168.1.1:80",
        "100.64.0.1:80",
        "169.254.169.254:80",
        "0xa9fea9fe:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "198.18.0.1:80",
        "[::1]:80",
        "[::]:80",
        "[::ffff:10.0.0.1]:80",
        "[64:ff9b::7f00:1]:80",
        "[2002:7f00:1::]:80",
        "[fd00::1]:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
    ];
    for authority in table {
        for answer in [
            connect(&egress, authority).await,
            get(&egress, &format!("http://{authority}/")).await,
        ] {
            assert_eq!((answer.status, answer.code()), (502, Some("refused")), "{authority}");
            assert!(answer.body.contains("network.allow_private"), "{}", answer.body);
        }
    }
    assert_eq!(egress.counters().refused, 2 * table.len() as u64);
    assert_eq!(egress.counters().connections, 0);
}

#[tokio::test]
async fn names_that_lead_to_private_addresses_are_refused_and_reported_once() {
    let names: &[(&str, &[&[&str]])] = &[("inner.example", &[&["10.0.0.1", "fd00::1"]])];
    let egress = proxy(EgressRules::default(), names).await;
    for _ in 0..3 {
        assert_eq!(connect(&egress, "inner.example:443").await.code(), Some("refused"));
    }
    let refusal = |address: &str, why| Refusal {
        host: "inner.example:443".to_owned(),
        address: address.parse().unwrap(),
        why,
    };
    assert_eq!(
        egress.refusals(),
        [
            refusal("10.0.0.1", "a private address"),
            refusal("fd00::1", "a unique local address")
        ]
    );
    assert_eq!(egress.counters().refused, 3);
    assert!(matches!(
        egress.last_error("INNER.example", 443),
        Some(DialError::Refused { .. })
    ));
    assert_eq!(egress.last_error("inner.example", 80), None);
}

#[tokio::test]
async fn a_private_address_needs_the_configuration_and_the_scope() {
    let server = Server::echo().await;
    let port = server.address.port();
    let names: &[(&str, &[&[&str]])] = &[
        ("in.example", &[&["127.0.0.1"]]),
        ("out.example", &[&["127.0.0.1"]]),
        ("else.in.example", &[&["127.0.0.2"]]),
    ];
    let rules = |allow: &[&str], hosts: &[&str]| EgressRules {
        allow_private: allow.iter().map(|text| cidr(text)).collect(),
        private_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        ..EgressRules::default()
    };
    let table = [
        (rules(&["127.0.0.1/32"], &["*in.example"]), "in.example", None),
        (
            rules(&["127.0.0.1/32"], &["*in.example"]),
            "else.in.example",
            Some("refused"),
        ),
        (
            rules(&["127.0.0.1/32"], &["*in.example"]),
            "out.example",
            Some("refused"),
        ),
        (rules(&["127.0.0.1/32"], &["*in.example"]), "127.0.0.1", Some("refused")),
        (rules(&["127.0.0.1/32"], &["127.0.0.1", "localhost"]), "127.0.0.1", None),
        (rules(&["127.0.0.1/32"], &["127.0.0.1", "localhost"]), "localhost", None),
        (rules(&["127.0.0.1/32"], &[]), "in.example", Some("refused")),
        (rules(&[], &["in.example"]), "in.example", Some("refused")),
    ];
    for (rules, host, code) in table {
        let egress = proxy(rules.clone(), names).await;
        assert_eq!(
            get(&egress, &format!("http://{host}:{port}/")).await.code(),
            code,
            "{host} {rules:?}"
        );
    }
}

/// The shape of DNS rebinding: the name first leads to an address that may be reached, then to one that may not.
#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let outside = Server::start_on("127.0.0.2:0", |_| response("outside")).await;
    let port = outside.address.port();
    let inside = Server::start_on(&format!("127.0.0.1:{port}"), |_| response("inside")).await;
    let names = Names::of(&[("rebind.example", &[&["127.0.0.2"], &["127.0.0.1"]])]);
    let rules = EgressRules {
        allow_private: vec![cidr("127.0.0.2/32")],
        private_hosts: vec!["rebind.example".to_owned()],
        ..EgressRules::default()
    };
    let egress = Egress::start_with(rules, Arc::clone(&names) as Arc<dyn Resolver>, Patience::default())
        .await
        .unwrap();
    let url = format!("http://rebind.example:{port}/");
    assert_eq!(get(&egress, &url).await.body, "outside");
    assert_eq!(names.lookups.load(Ordering::Relaxed), 1);
    assert_eq!(get(&egress, &url).await.code(), Some("refused"));
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_only_those_that_passed_are_dialled() {
    let outside = Server::start_on("127.0.0.2:0", |_| response("outside")).await;
    let port = outside.address.port();
    let inside = Server::start_on(&format!("127.0.0.1:{port}"), |_| response("inside")).await;
    let rules = EgressRules {
        allow_private: vec![cidr("127.0.0.2/31"), cidr("127.0.0.3/32")],
        private_hosts: vec!["mixed.example".to_owned()],
        ..EgressRules::default()
    };
    // Nobody listens on the second, so the third is tried.
    let egress = proxy(rules, &[("mixed.example", &[&["127.0.0.1", "127.0.0.3", "127.0.0.2"]])]).await;
    assert_eq!(
        get(&egress, &format!("http://mixed.example:{port}/")).await.body,
        "outside"
    );
    assert_eq!(inside.connections(), 0);
    assert_eq!(egress.refusals().len(), 1);
    assert_eq!(egress.last_error("mixed.example", port), None);
}

#[tokio::test]
async fn the_first_mapping_that_matches_is_dialled_unchecked() {
    let (a, b) = (
        Server::start(|_| response("a")).await,
        Server::start(|_| response("b")).await,
    );
    let resolve = vec![
        ("a.test:80".to_owned(), a.address.to_string()),
        ("*.test:80".to_owned(), format!("server.example:{}", b.address.port())),
        ("a.test:80".to_owned(), "127.0.0.1:1".to_owned()),
    ];
    let names: &[(&str, &[&[&str]])] = &[("server.example", &[&["127.0.0.1"]])];
    let egress = proxy(
        EgressRules {
            resolve,
            ..EgressRules::default()
        },
        names,
    )
    .await;
    assert_eq!(get(&egress, "http://a.test/").await.body, "a");
    assert_eq!(get(&egress, "http://x.y.test/").await.body, "b");
    assert_eq!(get(&egress, "http://a.test:81/").await.code(), Some("resolve"));
    assert_eq!(
        connect(&egress, &format!("server.example:{}", b.address.port()))
            .await
            .code(),
        Some("refused")
    );
}

#[tokio::test]
async fn the_reason_of_a_failure_is_known() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let egress = proxy(mapped(free), &[("empty.example", &[&[]])]).await;
    let table = [
        ("nobody.example", "resolve", "no such name"),
        ("empty.example", "resolve", "no address"),
        ("closed.test", "connect", "refused"),
    ];
    for (host, code, text) in table {
        let answer = connect(&egress, &format!("{host}:443")).await;
        assert_eq!((answer.status, answer.code()), (502, Some(code)), "{host}");
        let error = egress.last_error(host, 443).expect(host);
        assert_eq!(error.code(), code);
        assert!(
            error.to_string().contains(text) && error.to_string().contains(host),
            "{error}"
        );
        assert_eq!(answer.body.trim_end(), error.to_string());
    }
}

#[tokio::test]
async fn the_proxy_does_not_speak_to_itself() {
    let rules = EgressRules {
        allow_private: vec![cidr("127.0.0.0/8")],
        private_hosts: vec!["*".to_owned()],
        ..EgressRules::default()
    };
    let egress = proxy(rules, &[]).await;
    let answer = connect(&egress, &egress.address().to_string()).await;
    assert_eq!(answer.code(), Some("refused"));
    assert!(answer.body.contains("our own egress proxy"), "{}", answer.body);
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let resolve = vec![("*.test:443".to_owned(), "127.0.0.1".to_owned())];
    let error = Egress::start(EgressRules {
        resolve,
        ..EgressRules::default()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, EgressError::Resolve { .. }), "{error}");
    let upstream = Some("socks5://proxy:1080".parse().unwrap());
    let error = Egress::start(EgressRules {
        upstream,
        ..EgressRules::default()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, EgressError::Upstream { .. }), "{error}");
}
