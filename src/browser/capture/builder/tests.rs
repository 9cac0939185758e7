use std::time::Duration;

use phantom_checks::Probe;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::browser::recorder::FrameRecord;
use crate::browser::tab::CaptureScript;

const SECRET: &str = "m8Qw1rT5yU7iO3pA6sD4fG2hJ9kL0zXc";

fn request() -> PageRequest {
    let probe = Probe {
        version: 3,
        source: "() => 1",
    };
    PageRequest {
        url: format!("https://shop.test/?token={SECRET}"),
        may_go: Arc::new(|| Box::pin(async { true })),
        deadline: Duration::from_secs(1),
        may_visit: Arc::new(|_| true),
        guard: Arc::default(),
        script: CaptureScript::new(&[("some-check", probe)]),
        redactor: Redactor::new([7; 32]),
        scripts: Arc::default(),
        explore: None,
        marks: false,
        held_word: None,
    }
}

fn recorded(requests: Vec<Request>) -> Recorded {
    let frame = |parent: Option<&str>, session: &str| FrameRecord {
        parent: parent.map(str::to_owned),
        url: "https://shop.test/".into(),
        origin: "https://shop.test".into(),
        session: Arc::from(session),
        context: None,
        ..FrameRecord::default()
    };
    Recorded {
        sessions: vec![None; requests.len()],
        requests,
        issues: Vec::new(),
        frames: [
            ("F".to_owned(), frame(None, "main")),
            ("A".to_owned(), frame(Some("F"), "main")),
            ("B".to_owned(), frame(Some("F"), "other")),
        ]
        .into(),
        main_frame: "F".into(),
        tried: Vec::new(),
        dropped: 0,
        calls: Calls::default(),
    }
}

/// An answer of a frame, with some of its parts replaced.
fn answer(parts: &Value) -> Value {
    let mut answer = json!({
        "url": "https://shop.test/", "origin": "https://shop.test", "title": "Tea", "elements": 7,
        "forms": [], "links": [], "scripts": [], "metas": [], "storage": [], "probes": {}, "left_out": 0,
    });
    for (key, value) in parts.as_object().unwrap() {
        answer[key] = value.clone();
    }
    answer
}

fn parsed(text: &str) -> Result<FrameAnswer, Silence> {
    FrameAnswer::parse(text).map_err(Silence::Forged)
}

/// What becomes of the main frame's answer.
fn captured(parts: &Value, recorded: Recorded) -> Captured {
    let request = request();
    let mut builder = Builder::new(&request, &recorded);
    builder.frame("F", &recorded, parsed(&answer(parts).to_string()));
    builder.loaded_scripts(&recorded, &HashMap::new());
    builder.finish(recorded, &Finds::default())
}

#[test]
fn forms_keep_shapes_instead_of_values() {
    let field = |name: &str, kind: &str, value: Option<&str>| json!({"name": name, "kind": kind, "id": "", "autocomplete": "", "label": "", "visible": true, "disabled": false, "value": value});
    let form = json!({
        "selector": "#f", "snippet": format!("<form action=\"/in?csrf={SECRET}\">"), "has_action": true,
        "action": format!("https://u:p@shop.test/in?csrf={SECRET}"), "method": "post", "enctype": "", "visible": true,
        "in_shadow_root": false,
        "fields": [
            field("csrf", "hidden", Some(SECRET)),
            field("7f4df451a9c3e2b08d6c5e1f00ab43cd", "hidden", Some("1")),
            field("pass", "password", None),
        ],
        "submitters": [{"text": "Go", "name": "", "action": "javascript:go()", "method": "of-the-future"}],
    });
    let seen = captured(&json!({ "forms": [form] }), recorded(Vec::new())).evidence;
    let form = &seen.forms[0];
    assert_eq!(form.action, "https://shop.test/in?csrf=REDACTED");
    assert_eq!(form.snippet, "<form action=\"/in?csrf=REDACTED\">");
    assert_eq!(form.method, FormMethod::Post);
    assert_eq!(form.fields[0].value.as_ref().map(|value| value.length), Some(32));
    assert_eq!(form.fields[1].name, REDACTED);
    assert_eq!(form.fields[1].value.as_ref().map(|value| value.length), Some(32));
    assert_eq!(form.fields[2].value, None);
    assert_eq!(form.submitters[0].method, Some(FormMethod::Unknown));
    assert_eq!(form.submitters[0].action.as_deref(), Some("javascript:go()"));
    assert!(!serde_json::to_string(&seen).unwrap().contains(SECRET));
}

#[test]
fn metas_and_storage_keep_shapes() {
    let parts = json!({
        "metas": [
            {"name": "csrf-token", "content": SECRET},
            {"name": "odd", "content": SECRET},
            {"name": "description", "content": "Teas of all kinds"},
        ],
        "storage": [{"area": "localStorage", "key": "k", "value": SECRET}, {"area": "of-the-future", "key": "s", "value": ""}],
    });
    let seen = captured(&parts, recorded(Vec::new())).evidence;
    let kept: Vec<_> = seen
        .metas
        .iter()
        .map(|meta| (meta.content.as_deref(), meta.value.as_ref().map(|value| value.length)))
        .collect();
    assert_eq!(
        kept,
        [(None, Some(32)), (None, Some(32)), (Some("Teas of all kinds"), None)]
    );
    assert_eq!(seen.storage[0].value.length, 32);
    assert_eq!(
        (seen.storage[0].area, seen.storage[1].area),
        (StorageArea::Local, StorageArea::Session)
    );
}

#[test]
fn script_elements_are_joined_with_their_requests() {
    let of = |id: &str, url: &str, frame: &str| Request {
        id: id.into(),
        url: url.into(),
        kind: ResourceKind::Script,
        frame: Some(frame.into()),
        status: Some(200),
        ..Request::default()
    };
    let recorded = recorded(vec![
        of("1", "https://shop.test/a.js?sig=12", "F"),
        of("2", "https://shop.test/made.js", "F"),
        of("3", "https://shop.test/a.js?sig=12", "A"),
    ]);
    let text = Text::new("const a = 1;");
    let mut texts: HashMap<String, Result<Text, String>> =
        ["1", "2"].map(|id| (id.to_owned(), Ok(text.clone()))).into();
    texts.insert("3".to_owned(), Err("it was evicted".to_owned()));
    let parts = json!({"scripts": [
        {"kind": "module", "snippet": "<script>", "integrity": null, "url": "https://shop.test/a.js?sig=12"},
        {"kind": "", "snippet": "<script>", "integrity": null, "length": 9, "text": format!("t('{SECRET}')")},
    ]});
    let request = request();
    let mut builder = Builder::new(&request, &recorded);
    builder.frame("F", &recorded, parsed(&answer(&parts).to_string()));
    builder.loaded_scripts(&recorded, &texts);
    let seen = builder.finish(recorded, &Finds::default());
    let scripts: Vec<_> = seen
        .evidence
        .scripts
        .iter()
        .map(|script| {
            (
                script.url.as_deref(),
                script.hash.is_some(),
                script.kind.as_str(),
                script.frame.as_str(),
            )
        })
        .collect();
    let with_signature = Some("https://shop.test/a.js?sig=REDACTED");
    assert_eq!(
        scripts,
        [
            (with_signature, true, "module", "F"),
            (None, true, "", "F"),
            (Some("https://shop.test/made.js"), true, "", "F"),
            (with_signature, false, "", "A"),
        ]
    );
    let kept: Vec<_> = seen.scripts.values().map(|text| &**text).collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.contains(&"t('REDACTED')"), "{kept:?}");
    let lost = "the text of the script https://shop.test/a.js?sig=REDACTED could not be read: it was evicted";
    assert_eq!(seen.evidence.gaps, [lost]);
}

#[test]
fn frames_are_what_they_are_and_silence_is_a_gap() {
    let mut recorded = recorded(Vec::new());
    recorded.calls.unheard = 2;
    let request = request();
    let mut builder = Builder::new(&request, &recorded);
    let answered = parsed(&answer(&json!({})).to_string());
    for (id, answer) in [
        ("F", answered),
        ("A", Err(Silence::Late)),
        ("B", parsed("forged")),
        ("gone", Err(Silence::Gone(String::new()))),
    ] {
        builder.frame(id, &recorded, answer);
    }
    let seen = builder.finish(recorded, &Finds::default()).evidence;
    let frames: Vec<_> = seen.frames.iter().map(|frame| (frame.kind, frame.captured)).collect();
    assert_eq!(
        frames,
        [
            (FrameKind::Main, true),
            (FrameKind::Child, false),
            (FrameKind::OutOfProcess, false)
        ]
    );
    assert_eq!((seen.page.title.as_deref(), seen.page.elements), (Some("Tea"), 7));
    assert_eq!(seen.page.requested_url, "https://shop.test/?token=REDACTED");
    assert_eq!(
        seen.gaps,
        [
            "frame https://shop.test/ could not be looked into: it did not answer in time",
            "frame https://shop.test/ could not be looked into: its scripts falsified the capture",
            "2 frames or workers were not let run: the browser did not make their requests wait in time",
        ]
    );
}

#[test]
fn probes_answer_with_the_version_that_asked() {
    let parts = json!({"probes": {"some-check": "[1]", "no-check-of-ours": "[2]"}});
    let seen = captured(&parts, recorded(Vec::new())).evidence;
    assert_eq!(seen.probes.len(), 1);
    assert_eq!((seen.probes[0].version, &seen.probes[0].value), (3, &json!([1])));
    let unreadable = captured(&json!({"probes": {"some-check": "["}}), recorded(Vec::new())).evidence;
    assert!(unreadable.probes.is_empty());
}

#[test]
fn answers_that_are_too_large_are_not_read() {
    assert!(FrameAnswer::parse(&" ".repeat((16 << 20) + 1)).is_err_and(|why| why.contains("too large")));
}

proptest! {
    #[test]
    fn forged_answers_never_panic(key in "forms|links|scripts|metas|storage|probes|url|title|elements|x", text in "[\\[\\]{}\":,a-z0-9\\-\\PC]{0,60}") {
        let value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        let mut parts = json!({});
        parts[key.as_str()] = value;
        let seen = captured(&parts, recorded(Vec::new()));
        prop_assert_eq!(seen.evidence.frames.len(), 1);
        prop_assert!(FrameAnswer::parse(&text).is_err());
    }
}
