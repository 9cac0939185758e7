use phantom_checks::evidence::MixedContentResolution;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MAIN: &str = "main-session";

fn event(session: &str, method: &str, params: &Value) -> Event {
    Event {
        session: Arc::from(session),
        method: method.to_owned(),
        params: serde_json::value::to_raw_value(params).unwrap(),
    }
}

/// A recorder of the main frame `F`, which may visit what is on `shop.test`.
fn recorder() -> Recorder {
    let may_visit: MayVisit = Arc::new(|url| url.starts_with("https://shop.test/"));
    Recorder::new(
        Arc::from(MAIN),
        "F".to_owned(),
        may_visit,
        Arc::default(),
        Instant::now(),
    )
}

/// Feeds events of the main session, in order, and returns the reactions.
fn feed(recorder: &mut Recorder, events: &[(&str, Value)]) -> Vec<Reaction> {
    events
        .iter()
        .filter_map(|(method, params)| recorder.take(&event(MAIN, method, params), Instant::now()))
        .collect()
}

fn sent(id: &str, url: &str, kind: &str) -> (&'static str, Value) {
    let params = json!({
        "requestId": id, "loaderId": "L", "type": kind, "frameId": "F",
        "request": {"url": url, "method": "GET"}, "initiator": {"type": "parser", "url": "https://shop.test/", "lineNumber": 4},
    });
    ("Network.requestWillBeSent", params)
}

fn committed() -> (&'static str, Value) {
    committed_as("L")
}

fn committed_as(loader: &str) -> (&'static str, Value) {
    let frame =
        json!({"id": "F", "loaderId": loader, "url": "https://shop.test/", "securityOrigin": "https://shop.test"});
    ("Page.frameNavigated", json!({ "frame": frame }))
}

/// A recorder whose document is there.
fn open_page() -> Recorder {
    let mut recorder = recorder();
    feed(
        &mut recorder,
        &[sent("1", "https://shop.test/", "Document"), committed()],
    );
    recorder
}

#[test]
fn a_request_is_followed_to_its_end() {
    let mut recorder = open_page();
    feed(
        &mut recorder,
        &[
            sent("2", "https://shop.test/a.js", "Script"),
            (
                "Network.requestWillBeSent",
                json!({
                    "requestId": "2", "loaderId": "L", "type": "Script", "request": {"url": "http://cdn.test/a.js", "mixedContentType": "blockable"},
                    "redirectResponse": {"url": "https://shop.test/a.js", "status": 302},
                }),
            ),
            ("Network.requestServedFromCache", json!({"requestId": "2"})),
            (
                "Network.responseReceived",
                json!({
                    "requestId": "2", "type": "Script",
                    "response": {"url": "http://cdn.test/a.js", "status": 200, "mimeType": "Text/JavaScript", "headers": {"ETag": "x", "odd": 7}},
                }),
            ),
        ],
    );
    assert_eq!(recorder.in_flight(), 2);
    feed(&mut recorder, &[("Network.loadingFinished", json!({"requestId": "2"}))]);
    assert_eq!(recorder.in_flight(), 1);

    let request = &recorder.requests[1];
    assert_eq!(
        (request.url.as_str(), request.status),
        ("https://shop.test/a.js", Some(200))
    );
    assert_eq!(request.redirects[0].to, "http://cdn.test/a.js");
    assert_eq!(request.mixed_content, MixedContentType::Blockable);
    assert_eq!(
        (request.mime.as_deref(), request.from_cache),
        (Some("text/javascript"), true)
    );
    assert_eq!(
        (request.initiator.kind.as_str(), request.initiator.line),
        ("parser", Some(5))
    );
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|header| (&*header.name, &*header.value))
        .collect();
    assert_eq!(headers, [("etag", "x"), ("odd", "")]);
    assert_eq!(recorder.session_of(1).map(|session| &**session), Some(MAIN));
}

#[test]
fn a_stream_is_waited_for_until_it_has_begun() {
    let mut recorder = open_page();
    let head = json!({
        "requestId": "2", "type": "EventSource",
        "response": {"url": "https://shop.test/e", "status": 200, "mimeType": "text/event-stream", "headers": {}},
    });
    let message = json!({"requestId": "2", "eventName": "message", "eventId": "", "data": "x"});
    feed(&mut recorder, &[sent("2", "https://shop.test/e", "EventSource")]);
    assert_eq!((recorder.in_flight(), recorder.unanswered_since(1)), (2, true));
    feed(&mut recorder, &[("Network.responseReceived", head)]);
    assert_eq!((recorder.in_flight(), recorder.unanswered_since(1)), (1, true));
    assert!(!recorder.unanswered_since(2));
    feed(
        &mut recorder,
        &[("Network.eventSourceMessageReceived", message.clone())],
    );
    assert!(!recorder.unanswered_since(1));
    // It goes on talking, which keeps nobody waiting.
    let before = recorder.last_activity;
    feed(&mut recorder, &[("Network.eventSourceMessageReceived", message)]);
    assert_eq!(recorder.last_activity, before);
}

#[test]
fn what_belongs_to_the_page_before_is_left_out() {
    let mut recorder = open_page();
    feed(
        &mut recorder,
        &[("Audits.issueAdded", json!({"issue": {"code": "QuirksModeIssue"}}))],
    );
    assert_eq!(recorder.issue_list.len(), 1);
    recorder.begin(Arc::new(|_| true), Arc::default(), Instant::now());
    // A beacon of the old page, an issue of it that comes late, and then the new page.
    let beacon = json!({"requestId": "8", "loaderId": "L", "type": "Ping", "request": {"url": "https://shop.test/b"}});
    let issue = json!({"issue": {"code": "Late"}});
    let document = json!({"requestId": "9", "loaderId": "M", "type": "Document", "frameId": "F", "request": {"url": "https://shop.test/c"}});
    feed(
        &mut recorder,
        &[
            ("Network.requestWillBeSent", beacon.clone()),
            ("Audits.issueAdded", issue.clone()),
            ("Network.requestWillBeSent", document),
            ("Network.requestWillBeSent", beacon),
            ("Audits.issueAdded", issue),
            committed(),
            ("Audits.issueAdded", json!({"issue": {"code": "New"}})),
        ],
    );
    let urls: Vec<_> = recorder.requests.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls, ["https://shop.test/c"]);
    assert_eq!(recorder.issue_list, [Issue::Other { name: "New".into() }]);
}

#[test]
fn what_the_page_before_asks_for_is_not_the_next_ones() {
    let frame =
        json!({"id": "C", "parentId": "F", "loaderId": "LC", "url": "https://shop.test/c", "securityOrigin": ""});
    let paused = |id: &str, url: &str| {
        let request = json!({"url": url, "method": "POST", "headers": {}});
        let params = json!({"requestId": format!("p{id}"), "networkId": id, "resourceType": "Fetch", "frameId": "F", "request": request});
        ("Fetch.requestPaused", params)
    };
    let of = |loader: &str, id: &str, url: &str, kind: &str| {
        let (name, mut params) = sent(id, url, kind);
        params["loaderId"] = json!(loader);
        (name, params)
    };
    let mut recorder = open_page();
    feed(&mut recorder, &[("Page.frameNavigated", json!({ "frame": frame }))]);
    recorder.begin(Arc::new(|_| true), Arc::default(), Instant::now());
    let reactions = feed(
        &mut recorder,
        &[
            of("M", "2", "https://shop.test/next", "Document"),
            // The network knows of it before it waits for us, or after.
            of("L", "3", "https://shop.test/old", "Fetch"),
            paused("3", "https://shop.test/old"),
            paused("4", "https://shop.test/old-frame"),
            of("LC", "4", "https://shop.test/old-frame", "Fetch"),
            paused("5", "https://shop.test/new"),
            of("M", "5", "https://shop.test/new", "Fetch"),
            committed_as("M"),
            ("Page.domContentEventFired", json!({})),
            // The process that the page was in may be slower than that of the next one.
            paused("6", "https://shop.test/old-late"),
            of("L", "6", "https://shop.test/old-late", "Fetch"),
        ],
    );
    assert!(
        reactions
            .iter()
            .all(|reaction| matches!(reaction, Reaction::Stop { navigation: false, .. })),
        "{reactions:?}"
    );
    assert_eq!(reactions.len(), 4);
    recorder.forget_last_words();
    let calls: Vec<_> = recorder.calls.all.iter().map(|call| &*call.url).collect();
    assert_eq!(calls, ["https://shop.test/new"]);
}

#[test]
fn last_words_are_those_of_pages_that_wait_for_their_end_or_are_not_alone() {
    let mut recorder = open_page();
    assert!(recorder.has_last_words(), "unless it says that it has none");
    recorder.awaits_its_end = false;
    assert!(!recorder.has_last_words());
    let target = json!({"targetId": "T", "type": "worker", "url": "https://shop.test/w.js"});
    let attached = json!({"sessionId": "W", "targetInfo": target, "waitingForDebugger": true});
    feed(&mut recorder, &[("Target.attachedToTarget", attached)]);
    assert!(recorder.has_last_words());
    feed(
        &mut recorder,
        &[("Target.detachedFromTarget", json!({"sessionId": "W"}))],
    );
    assert!(!recorder.has_last_words());
    let socket = json!({"requestId": "9", "url": "wss://shop.test/s"});
    feed(&mut recorder, &[("Network.webSocketCreated", socket)]);
    assert!(recorder.has_last_words());
}

#[test]
fn failures_and_sockets_are_kept() {
    let mut recorder = open_page();
    feed(
        &mut recorder,
        &[
            sent("2", "https://shop.test/gone.js", "Script"),
            (
                "Network.loadingFailed",
                json!({"requestId": "2", "errorText": "net::ERR_FAILED", "blockedReason": "mixed-content"}),
            ),
            (
                "Network.webSocketCreated",
                json!({"requestId": "3", "url": "ws://cdn.test/"}),
            ),
            ("Network.webSocketClosed", json!({"requestId": "3"})),
            (
                "Network.webSocketCreated",
                json!({"requestId": "4", "url": "wss://cdn.test/"}),
            ),
            (
                "Network.webSocketHandshakeResponseReceived",
                json!({"requestId": "4", "response": {"status": 101}}),
            ),
            ("Network.webSocketClosed", json!({"requestId": "4"})),
            sent("5", "data:text/plain,x", "Image"),
        ],
    );
    let blocked = recorder.requests[1].failure.as_ref().unwrap();
    assert_eq!(blocked.blocked.as_deref(), Some("mixed-content"));
    assert!(recorder.requests[2].failure.is_some());
    assert_eq!(
        (recorder.requests[3].status, &recorder.requests[3].failure),
        (Some(101), &None)
    );
    assert_eq!(recorder.requests.len(), 4, "data: is no request");
    assert_eq!(recorder.in_flight(), 1, "only the document");
}

#[test]
fn mixed_content_issues_are_read_and_not_repeated() {
    let mut recorder = open_page();
    let issue = |resolution: &str| {
        json!({"issue": {"code": "MixedContentIssue", "details": {"mixedContentIssueDetails": {
            "resourceType": "Frame", "resolutionStatus": resolution, "insecureURL": "http://partner.test/",
            "mainResourceURL": "https://shop.test/", "frame": {"frameId": "F"}, "request": {"url": "http://partner.test/"},
        }}}})
    };
    let blocked = issue("MixedContentBlocked");
    feed(
        &mut recorder,
        &[
            ("Audits.issueAdded", blocked.clone()),
            ("Audits.issueAdded", blocked),
            ("Audits.issueAdded", issue("MixedContentWarning")),
            ("Audits.issueAdded", issue("OfTheFuture")),
        ],
    );
    let found: Vec<_> = recorder
        .issue_list
        .iter()
        .map(|issue| match issue {
            Issue::MixedContent(issue) => (issue.resolution, issue.frame.as_deref(), issue.request.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    let [frame, request] = [Some("F"), Some("http://partner.test/")];
    assert_eq!(
        found,
        [
            (MixedContentResolution::Blocked, frame, request),
            (MixedContentResolution::Warning, frame, request),
            (MixedContentResolution::Unknown, frame, request),
        ]
    );
}

#[test]
fn frames_come_move_and_go() {
    let mut recorder = open_page();
    let context = |id: i64, frame: &str, is_default: bool| {
        let context =
            json!({"id": id, "origin": "https://shop.test", "auxData": {"isDefault": is_default, "frameId": frame}});
        ("Runtime.executionContextCreated", json!({ "context": context }))
    };
    let detached = |frame: &str, reason: &str| ("Page.frameDetached", json!({"frameId": frame, "reason": reason}));
    feed(
        &mut recorder,
        &[
            ("Page.frameAttached", json!({"frameId": "A", "parentFrameId": "F"})),
            ("Page.frameAttached", json!({"frameId": "B", "parentFrameId": "F"})),
            context(1, "F", true),
            context(2, "F", false),
            context(3, "A", true),
            (
                "Page.navigatedWithinDocument",
                json!({"frameId": "F", "url": "https://shop.test/#a"}),
            ),
            detached("A", "remove"),
            detached("B", "swap"),
            (
                "Target.attachedToTarget",
                json!({"sessionId": "child", "targetInfo": {"targetId": "B", "type": "iframe", "url": "https://partner.test/"}}),
            ),
        ],
    );
    assert!(!recorder.frames.contains_key("A"));
    assert_eq!(
        (recorder.frames["F"].context, &*recorder.frames["F"].url),
        (Some(1), "https://shop.test/#a")
    );
    let moved = &recorder.frames["B"];
    assert_eq!(
        (&*moved.session, moved.parent.as_deref(), moved.context),
        ("child", Some("F"), None)
    );

    // A request of the child session without a frame is that frame's.
    let (method, mut params) = sent("5", "https://partner.test/x", "Fetch");
    params["frameId"] = Value::Null;
    recorder.take(&event("child", method, &params), Instant::now());
    assert_eq!(recorder.requests[1].frame.as_deref(), Some("B"));
    recorder.unheard("child");
    feed(
        &mut recorder,
        &[
            ("Runtime.executionContextDestroyed", json!({"executionContextId": 1})),
            ("Target.detachedFromTarget", json!({"sessionId": "child"})),
        ],
    );
    recorder.unheard("child");
    assert_eq!(recorder.calls.unheard, 1, "what has ended since is nobody's loss");
    assert_eq!(recorder.frames["F"].context, None);
    assert!(!recorder.frames.contains_key("B"));
}

#[test]
fn what_the_tab_has_to_do() {
    let target = |kind: &str| {
        let info = json!({"targetId": "T", "type": kind, "url": "https://shop.test/x"});
        ("Target.attachedToTarget", json!({"sessionId": "S", "targetInfo": info}))
    };
    let paused = |frame: &str, url: &str| {
        let request = json!({"url": url, "method": "GET"});
        let params = json!({"requestId": "P", "frameId": frame, "resourceType": "Document", "request": request});
        ("Fetch.requestPaused", params)
    };
    let child = |worker| Reaction::SetUpChild {
        session: "S".into(),
        worker,
    };
    let [go_on, stop] = [
        Reaction::Continue {
            session: Arc::from(MAIN),
            paused: "P".into(),
        },
        Reaction::Stop {
            session: Arc::from(MAIN),
            paused: "P".into(),
            navigation: true,
        },
    ];
    let dialog = |kind: &str| ("Page.javascriptDialogOpening", json!({ "type": kind }));
    let table = [
        (target("iframe"), child(false)),
        (target("worker"), child(true)),
        (target("kind_of_the_future"), child(true)),
        (target("page"), Reaction::ClosePopup { target: "T".into() }),
        (dialog("alert"), Reaction::AnswerDialog { accept: false }),
        (dialog("beforeunload"), Reaction::AnswerDialog { accept: true }),
        (paused("A", "https://ads.test/"), go_on),
        // The page is there: whatever would lead away from it is stopped, and kept as a link.
        (paused("F", "https://shop.test/away"), stop),
    ];
    for (one, expected) in table {
        assert_eq!(
            feed(&mut open_page(), std::slice::from_ref(&one)),
            [expected],
            "{one:?}"
        );
    }
    let mut page = open_page();
    feed(
        &mut page,
        &[
            target("page"),
            paused("F", "https://shop.test/away"),
            ("Page.windowOpen", json!({"url": "https://shop.test/pop"})),
        ],
    );
    let sources: Vec<_> = page.tried.iter().map(|(_, source)| *source).collect();
    assert_eq!(sources, [LinkSource::Popup, LinkSource::Navigation, LinkSource::Popup]);
}

#[test]
fn a_navigation_that_leaves_the_scope_is_stopped() {
    let mut recorder = recorder();
    let paused = |url: &str| {
        (
            "Fetch.requestPaused",
            json!({
                "requestId": "P", "frameId": "F", "resourceType": "Document", "request": {"url": url, "method": "GET"},
            }),
        )
    };
    let inside = feed(&mut recorder, &[paused("https://shop.test/")]);
    assert!(matches!(inside[..], [Reaction::Continue { .. }]));
    let outside = feed(&mut recorder, &[paused("http://169.254.169.254/")]);
    assert!(matches!(outside[..], [Reaction::Stop { .. }]));
    assert_eq!(recorder.left_scope.as_deref(), Some("http://169.254.169.254/"));
}

#[test]
fn loading_is_told_by_the_main_session_alone() {
    let mut recorder = open_page();
    let load = |session: &str| event(session, "Page.loadEventFired", &json!({}));
    recorder.take(&load("child"), Instant::now());
    assert!(!recorder.loaded);
    recorder.take(&load(MAIN), Instant::now());
    assert!(recorder.loaded);
}

#[test]
fn marks_outlast_pages_and_issues_are_activity() {
    let mut recorder = open_page();
    feed(&mut recorder, &[(MARK, Value::Null)]);
    recorder.begin(Arc::new(|_| true), Arc::default(), Instant::now());
    feed(&mut recorder, &[(MARK, Value::Null)]);
    assert_eq!(recorder.marks, 2);

    let mut recorder = open_page();
    let later = Instant::now() + std::time::Duration::from_secs(9);
    recorder.take(
        &event(MAIN, "Audits.issueAdded", &json!({"issue": {"code": "A"}})),
        later,
    );
    assert_eq!(recorder.last_activity, later);
}

#[test]
fn what_is_beyond_the_bounds_is_counted() {
    let mut recorder = open_page();
    for number in 0..MAX_REQUESTS + 5 {
        let (method, params) = sent(&format!("r{number}"), "https://shop.test/i.png", "Image");
        recorder.take(&event(MAIN, method, &params), Instant::now());
    }
    for number in 0..MAX_FRAMES + 5 {
        let attached = json!({"frameId": format!("f{number}"), "parentFrameId": "F"});
        recorder.take(&event(MAIN, "Page.frameAttached", &attached), Instant::now());
    }
    assert_eq!(
        (recorder.requests.len(), recorder.frames.len()),
        (MAX_REQUESTS, MAX_FRAMES)
    );
    assert_eq!(
        recorder.dropped,
        6 + 6,
        "the document and the main frame were there before"
    );
    let long = format!("https://shop.test/{}", "é".repeat(100_000));
    assert_eq!(words::bounded(&long).chars().count(), 8_192);
}

const METHODS: [&str; 25] = [
    MARK,
    "Network.requestWillBeSent",
    "Network.responseReceived",
    "Network.requestServedFromCache",
    "Network.loadingFinished",
    "Network.loadingFailed",
    "Network.webSocketCreated",
    "Network.webSocketHandshakeResponseReceived",
    "Network.webSocketClosed",
    "Audits.issueAdded",
    "Page.frameNavigated",
    "Page.frameAttached",
    "Page.frameDetached",
    "Page.navigatedWithinDocument",
    "Page.windowOpen",
    "Page.domContentEventFired",
    "Page.loadEventFired",
    "Page.javascriptDialogOpening",
    "Runtime.executionContextCreated",
    "Runtime.executionContextDestroyed",
    "Runtime.executionContextsCleared",
    "Target.attachedToTarget",
    "Target.detachedFromTarget",
    "Fetch.requestPaused",
    "Of.theFuture",
];

/// Names that events have, so that arbitrary parameters often say something.
const KEYS: &str = "requestId|loaderId|type|frameId|request|url|initiator|stack|callFrames|parent|lineNumber|\
    redirectResponse|response|status|headers|frame|id|context|auxData|isDefault|issue|code|details|sessionId|targetInfo|\
    mixedContentIssueDetails|x";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(i64::MAX)),
        Just(json!("F")),
        Just(json!("Document")),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(KEYS, inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_event_of_any_shape_panics(events in proptest::collection::vec((0..METHODS.len(), any_json(), "main-session|child"), 0..40)) {
        let mut recorder = open_page();
        for (method, params, session) in &events {
            recorder.take(&event(session, METHODS[*method], params), Instant::now());
        }
        prop_assert!(recorder.requests.len() <= events.len() + 1);
    }

    #[test]
    fn any_line_number_is_one(line in any::<i64>()) {
        let mut recorder = open_page();
        let (method, mut params) = sent("2", "https://shop.test/a.js", "Script");
        params["initiator"]["lineNumber"] = json!(line);
        recorder.take(&event(MAIN, method, &params), Instant::now());
        let shown = recorder.requests[1].initiator.line;
        prop_assert_eq!(shown.is_some(), (-1..i64::from(u32::MAX)).contains(&line));
    }
}
