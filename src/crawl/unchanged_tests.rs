use phantom_checks::evidence::{Cookie, Failure, Hop, Page};

use super::*;

const DAY_LONG: Duration = Duration::from_hours(24);

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(day * DAY).unwrap()
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn request(url: &str, kind: ResourceKind) -> Request {
    Request {
        id: url.to_owned(),
        url: url.to_owned(),
        method: "GET".to_owned(),
        kind,
        status: Some(200),
        mark: Some(format!("mark of {url}")),
        headers: vec![header("content-type", "text/plain")],
        ..Request::default()
    }
}

/// A page with a script and a style of its own, a script of somebody else, and an image.
fn past() -> PastLook {
    let url = "https://shop.test/a";
    let mut evidence = Evidence::of(Page {
        requested_url: url.to_owned(),
        url: url.to_owned(),
        status: Some(200),
        headers: vec![
            header("content-security-policy", "default-src 'self'"),
            header("date", "now"),
        ],
        ..Page::default()
    });
    evidence.requests = vec![
        request(url, ResourceKind::Document),
        request("https://shop.test/a.js", ResourceKind::Script),
        request("https://shop.test/a.css", ResourceKind::Stylesheet),
        request("https://cdn.test/b.js", ResourceKind::Script),
        request("https://cdn.test/b.css", ResourceKind::Stylesheet),
        request("https://shop.test/a.png", ResourceKind::Image),
    ];
    PastLook {
        evidence,
        mark: PageMark {
            basis: "basis".to_owned(),
            looked_at: at(100),
            unchanged: false,
        },
    }
}

fn ask(past: &PastLook, now: Timestamp, full: u32, third: u32) -> Result<Vec<Part>, Look> {
    // A key whose turn is none of the days that are asked about.
    let key = (0..10_000).map(|one| format!("key {one}")).find(|key| {
        let rules = |day| Rules {
            full_look: DAY_LONG * full,
            third_party: DAY_LONG * third,
            basis: "basis",
            now: at(day),
            is_own: &|_| true,
        };
        full < 3 || !is_turn(key, &rules(now.as_second() / DAY))
    });
    let rules = Rules {
        full_look: DAY_LONG * full,
        third_party: DAY_LONG * third,
        basis: "basis",
        now,
        is_own: &|host| host == "shop.test",
    };
    parts(&key.unwrap(), past, &rules)
}

#[test]
fn its_own_parts_and_the_scripts_of_others_are_asked_for() {
    let parts = ask(&past(), at(101), 7, 3).unwrap();
    let urls: Vec<_> = parts.iter().map(|part| part.url.path()).collect();
    assert_eq!(urls, ["/a", "/a.js", "/a.css", "/b.js"]);
    assert_eq!(parts[0].headers.as_deref(), Some(&past().evidence.page.headers[..]));
}

#[test]
fn what_cannot_be_told_is_looked_at() {
    type Change = fn(&mut PastLook);
    let cannot_tell = |what: &str| Look::CannotTell(what.to_owned());
    let cases: [(Change, Look); 15] = [
        (|past| past.mark.basis = "other".into(), Look::OtherBasis),
        (|past| past.evidence.gaps.push("lost".into()), Look::InPart),
        (|past| past.evidence.page.cut_short = true, Look::InPart),
        (|past| past.evidence.page.status = Some(404), Look::InPart),
        (|past| past.evidence.page.session_in_path = true, Look::InPart),
        (|past| past.evidence.page.logged_in = Some(false), Look::InPart),
        (
            |past| {
                past.evidence.page.redirects.push(Hop {
                    url: "a".into(),
                    status: 301,
                    to: "b".into(),
                });
            },
            Look::InPart,
        ),
        (|past| past.mark.looked_at = at(94), Look::Due),
        (|past| past.mark.looked_at = at(97), Look::ThirdParty),
        (
            |past| past.evidence.requests[0].mark = None,
            cannot_tell("https://shop.test/a"),
        ),
        (
            |past| past.evidence.requests[1].mark = None,
            cannot_tell("https://shop.test/a.js"),
        ),
        (
            |past| past.evidence.requests[2].status = None,
            cannot_tell("https://shop.test/a.css"),
        ),
        (
            |past| past.evidence.requests[3].url = "https://cdn.test/b.js?key=REDACTED".into(),
            cannot_tell("https://cdn.test/b.js?key=REDACTED"),
        ),
        (
            |past| {
                past.evidence
                    .requests
                    .push(request("wss://shop.test/live", ResourceKind::WebSocket));
            },
            cannot_tell("wss://shop.test/live"),
        ),
        (|past| past.evidence.requests.clear(), cannot_tell("its document")),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut past = past();
        change(&mut past);
        assert_eq!(ask(&past, at(101), 7, 3).unwrap_err(), expected, "case {number}");
    }
}

#[test]
fn what_the_browser_stopped_follows_from_the_rest() {
    let mut past = past();
    past.evidence.requests[2].failure = Some(Failure {
        error: "net::ERR_BLOCKED_BY_CLIENT".to_owned(),
        blocked: Some("mixed-content".to_owned()),
        canceled: false,
    });
    assert_eq!(ask(&past, at(101), 7, 3).unwrap().len(), 3);
}

#[test]
fn each_page_has_its_turn_once_in_so_many_nights() {
    for key in ["a", "b", "https://shop.test/"] {
        let turns = (200..207).filter(|day| {
            let rules = Rules {
                full_look: DAY_LONG * 7,
                third_party: DAY_LONG,
                basis: "",
                now: at(*day),
                is_own: &|_| true,
            };
            is_turn(key, &rules)
        });
        assert_eq!(turns.count(), 1, "{key}");
    }
}

fn answer(part: &Part) -> Answer {
    Answer {
        status: part.status,
        mark: part.mark.clone().unwrap_or_default(),
        headers: part.headers.clone().unwrap_or_default(),
        cookies: Vec::new(),
    }
}

#[test]
fn a_part_is_the_same_only_if_all_of_it_is() {
    type Change = fn(&mut Answer);
    let past = past();
    let parts = ask(&past, at(101), 7, 3).unwrap();
    let document = &parts[0];
    let cases: [(Change, bool); 9] = [
        (|_| {}, true),
        (|answer| answer.headers[1].value = "later".into(), true),
        (|answer| answer.headers.push(header("etag", "x")), true),
        (|answer| answer.headers.reverse(), true),
        (|answer| answer.status = 500, false),
        (|answer| answer.mark = "other".into(), false),
        (|answer| answer.headers[0].value = "default-src *".into(), false),
        (|answer| drop(answer.headers.remove(0)), false),
        (|answer| answer.headers.push(header("x-powered-by", "php")), false),
    ];
    for (number, (change, same)) in cases.into_iter().enumerate() {
        let mut answer = answer(document);
        change(&mut answer);
        assert_eq!(
            compare(document, &answer, &past.evidence).is_ok(),
            same,
            "case {number}"
        );
    }
}

#[test]
fn a_cookie_is_the_same_if_its_flags_are() {
    let mut past = past();
    past.evidence.cookies.push(Cookie {
        name: "sid".to_owned(),
        secure: true,
        http_only: true,
        same_site: SameSite::Lax,
        domain: "shop.test".to_owned(),
        path: "/".to_owned(),
        session: true,
        value: ValueShape::default(),
    });
    let document = ask(&past, at(101), 7, 3).unwrap().remove(0);
    for (text, same) in [
        ("sid=1; Path=/; Secure; HttpOnly; SameSite=Lax", true),
        ("sid=2; samesite=lax; secure; httponly; max-age=5", true),
        ("sid=1; Secure; SameSite=Lax", false),
        ("sid=1; HttpOnly; SameSite=Lax", false),
        ("sid=1; Secure; HttpOnly", false),
        ("new=1; Secure; HttpOnly; SameSite=Lax", false),
    ] {
        let mut answer = answer(&document);
        answer.cookies.extend(SetCookie::parse(text));
        assert_eq!(compare(&document, &answer, &past.evidence).is_ok(), same, "{text}");
    }
}

#[test]
fn only_what_each_answer_has_anew_is_left_out() {
    let page = |nonce: &str, token: &str, script: &str| {
        format!(
            "<meta name=csrf content=\"{token}\"><meta content=\"script-src 'nonce-{nonce}'\">\
             <script nonce=\"{nonce}\" src=\"{script}\"></script><input type=hidden name=t value='{token}'>"
        )
    };
    let one = page(
        "8IBTHwOdqNKAWeKl7plt8g",
        "q8v2m1c7z4k9x3b6n5t0w8e2",
        "/app-5f1c9a7e3b2d8046.js",
    );
    let same = page(
        "kZx81Jw0QmTnB3vL5sRy2A",
        "b7h3k9d1s5f8g2j6l4p0z1x3",
        "/app-5f1c9a7e3b2d8046.js",
    );
    let other = page(
        "kZx81Jw0QmTnB3vL5sRy2A",
        "b7h3k9d1s5f8g2j6l4p0z1x3",
        "/app-0a1b2c3d4e5f6071.js",
    );
    assert_eq!(steady(&one), steady(&same));
    assert_ne!(steady(&one), steady(&other));
    assert_ne!(steady("<input value=\"jquery\">"), steady("<input value=\"angular\">"));
    assert_eq!(
        steady("<p>value=\"q8v2m1c7z4k9x3b6n5t0w8e2\""),
        "<p>value=\"q8v2m1c7z4k9x3b6n5t0w8e2\""
    );
}
