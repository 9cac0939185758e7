use super::MixedContent;
use crate::check::Outcome;
use crate::evidence::{
    Answer, Failure, Hop, HttpsOutcome, Initiator, Issue, MixedContentIssue, MixedContentResolution, MixedContentType,
    ResourceKind,
};
use crate::observation::{Confidence, Question, Severity};
use crate::testing::Scene;
use MixedContentResolution::{Blocked, Upgraded, Warning};

fn issue(resource: &str, resolution: MixedContentResolution, url: &str) -> Issue {
    Issue::MixedContent(MixedContentIssue {
        resource: resource.into(),
        resolution,
        insecure_url: url.into(),
        document_url: "https://case.test/page".into(),
        request: None,
        frame: Some("main".into()),
    })
}

fn scene() -> Scene {
    Scene::new("https://case.test/page")
}

fn refused() -> Failure {
    Failure {
        error: "net::ERR_FAILED".into(),
        blocked: Some("mixed-content".into()),
        canceled: false,
    }
}

fn one(outcome: &Outcome) -> (Severity, Confidence, String) {
    assert_eq!(outcome.observations.len(), 1, "{outcome:?}");
    assert!(outcome.questions.is_empty());
    let observation = &outcome.observations[0];
    (
        observation.severity,
        observation.confidence,
        observation.cause.to_string(),
    )
}

#[test]
fn the_browsers_word_decides() {
    let table = [
        ("Script", Blocked, "http://cdn.test/a.js", "script", Severity::Low),
        ("Script", Blocked, "http://case.test/a.js", "script", Severity::Medium),
        ("Script", Warning, "http://cdn.test/a.js", "script", Severity::High),
        ("Frame", Blocked, "http://cdn.test/f", "frame", Severity::Low),
        ("PluginResource", Blocked, "http://cdn.test/p", "plugin", Severity::Low),
        ("Resource", Blocked, "ws://cdn.test/live", "websocket", Severity::Low),
        ("Resource", Blocked, "http://cdn.test/api", "fetch", Severity::Low),
        ("XMLHttpRequest", Blocked, "http://cdn.test/api", "fetch", Severity::Low),
        ("Image", Warning, "http://cdn.test/i.png", "image", Severity::Medium),
        ("Video", Warning, "http://cdn.test/v.mp4", "media", Severity::Medium),
        ("Favicon", Blocked, "http://cdn.test/i.ico", "image", Severity::Low),
        ("SomethingNew", Blocked, "http://cdn.test/x", "resource", Severity::Low),
    ];
    for (resource, resolution, url, kind, severity) in table {
        let mut scene = scene();
        scene.evidence.issues.push(issue(resource, resolution, url));
        let (got, confidence, cause) = one(&scene.run(&MixedContent));
        assert_eq!((got, confidence), (severity, Confidence::Firm), "{resource} {url}");
        assert!(cause.contains(&format!("kind={kind}")), "{cause}");
        assert!(cause.contains("asked_by=case.test/page"), "{cause}");
    }
}

#[test]
fn what_is_not_mixed_content_is_left_alone() {
    for url in [
        "http://127.0.0.1/a.js",
        "http://localhost:3000/a.js",
        "https://cdn.test/a.js",
        "not a url",
    ] {
        let mut scene = scene();
        scene.evidence.issues.push(issue("Script", Blocked, url));
        assert!(scene.run(&MixedContent).observations.is_empty(), "{url}");
    }
    let mut form = scene();
    form.evidence
        .issues
        .push(issue("Form", Warning, "http://cdn.test/send"));
    assert!(form.run(&MixedContent).observations.is_empty());
}

#[test]
fn a_page_over_http_mixes_nothing() {
    let mut scene = Scene::new("http://case.test/page");
    scene.request("http://cdn.test/a.js", ResourceKind::Script).status = Some(200);
    assert!(scene.run(&MixedContent).observations.is_empty());
}

#[test]
fn an_upgrade_is_judged_by_its_own_request() {
    let table = [
        (Some(200), None, Severity::Info),
        (Some(404), None, Severity::Low),
        (None, Some("net::ERR_CONNECTION_REFUSED"), Severity::Low),
    ];
    for (status, error, severity) in table {
        let mut scene = scene();
        scene
            .evidence
            .issues
            .push(issue("Image", Upgraded, "http://cdn.test/i.png"));
        let request = scene.request("https://cdn.test/i.png", ResourceKind::Image);
        request.status = status;
        request.failure = error.map(|error| Failure {
            error: error.into(),
            blocked: None,
            canceled: false,
        });
        let (got, confidence, _) = one(&scene.run(&MixedContent));
        assert_eq!((got, confidence), (severity, Confidence::Firm));
    }
}

#[test]
fn an_upgrade_without_a_request_is_asked_about_once() {
    let url = "http://cdn.test/i.png";
    let question = Question::HttpsAnswers { url: url.into() };
    let mut scene = scene();
    scene.evidence.issues.push(issue("Image", Upgraded, url));
    let outcome = scene.run(&MixedContent);
    assert_eq!(outcome.questions, std::slice::from_ref(&question));
    assert!(outcome.observations.is_empty());

    let table = [
        (HttpsOutcome::Status { status: 301 }, Severity::Info, Confidence::Firm),
        (HttpsOutcome::Status { status: 500 }, Severity::Low, Confidence::Firm),
        (
            HttpsOutcome::Failed {
                error: "refused".into(),
            },
            Severity::Low,
            Confidence::Firm,
        ),
        (HttpsOutcome::Unknown, Severity::Info, Confidence::Tentative),
    ];
    for (outcome, severity, confidence) in table {
        scene.evidence.answers = vec![Answer::Https {
            url: url.into(),
            outcome,
        }];
        let (got, sure, _) = one(&scene.run(&MixedContent));
        assert_eq!((got, sure), (severity, confidence));
    }
    scene.evidence.answers = vec![Answer::NotAsked {
        question,
        why: "out of scope".into(),
    }];
    assert_eq!(one(&scene.run(&MixedContent)).1, Confidence::Tentative);
}

#[test]
fn two_witnesses_make_one_observation() {
    let mut scene = scene();
    let request = scene.request("http://cdn.test/a.js", ResourceKind::Script);
    request.mixed_content = MixedContentType::Blockable;
    request.failure = Some(refused());
    let mut told = issue("Script", Blocked, "http://cdn.test/a.js");
    scene.evidence.issues.push(told.clone());
    if let Issue::MixedContent(issue) = &mut told {
        issue.request = Some("request-0".into());
    }
    scene.evidence.issues.push(told);
    let outcome = scene.run(&MixedContent);
    one(&outcome);
    assert_eq!(
        outcome.observations[0]
            .facts
            .iter()
            .filter(|fact| fact.label == "resource")
            .count(),
        1
    );
}

#[test]
fn requests_speak_where_the_auditor_is_silent() {
    let mut blocked = scene();
    blocked
        .request("http://cdn.test/a.css", ResourceKind::Stylesheet)
        .failure = Some(refused());
    assert_eq!(one(&blocked.run(&MixedContent)).0, Severity::Low);

    let mut loaded = scene();
    let request = loaded.request("http://cdn.test/a.css", ResourceKind::Stylesheet);
    request.mixed_content = MixedContentType::Blockable;
    request.status = Some(200);
    let (severity, confidence, _) = one(&loaded.run(&MixedContent));
    assert_eq!((severity, confidence), (Severity::High, Confidence::Certain));
}

#[test]
fn redirects_to_http_are_followed() {
    let hop = |from: &str, status: u16, to: &str| Hop {
        url: from.into(),
        status,
        to: to.into(),
    };
    let mut script = scene();
    let request = script.request("https://cdn.test/a.js", ResourceKind::Script);
    request.redirects = vec![hop("https://cdn.test/a.js", 302, "http://far.test/a.js")];
    request.failure = Some(refused());
    let (severity, _, cause) = one(&script.run(&MixedContent));
    assert_eq!(severity, Severity::Low);
    assert!(cause.contains("host=far.test"), "{cause}");

    let mut image = scene();
    let request = image.request("https://cdn.test/i.png", ResourceKind::Image);
    request.redirects = vec![hop("https://cdn.test/i.png", 302, "http://far.test/i.png")];
    request.status = Some(200);
    assert_eq!(one(&image.run(&MixedContent)).0, Severity::Info);

    let mut turned_back = scene();
    let request = turned_back.request("https://cdn.test/i.png", ResourceKind::Image);
    request.redirects = vec![
        hop("https://cdn.test/i.png", 302, "http://far.test/i.png"),
        hop("http://far.test/i.png", 307, "https://far.test/i.png"),
    ];
    request.status = Some(200);
    assert!(turned_back.run(&MixedContent).observations.is_empty());
}

#[test]
fn one_cause_is_one_observation() {
    let mut scene = scene();
    for name in ["a", "b", "c"] {
        let url = format!("http://cdn.test/{name}.js");
        let request = scene.request(&url, ResourceKind::Script);
        request.initiator = Initiator {
            kind: "script".into(),
            url: Some("https://case.test/js/loader.3f2a9c1b.js".into()),
            line: Some(7),
        };
        request.failure = Some(refused());
        scene.evidence.issues.push(issue("Script", Blocked, &url));
    }
    let outcome = scene.run(&MixedContent);
    let (_, _, cause) = one(&outcome);
    assert_eq!(cause, "asked_by=case.test/js/loader.js host=cdn.test kind=script");
    let resources = outcome.observations[0]
        .facts
        .iter()
        .filter(|fact| fact.label == "resource");
    assert_eq!(resources.count(), 3);
}

#[test]
fn an_inline_script_is_part_of_its_document() {
    let mut scene = scene();
    let request = scene.request("http://cdn.test/a.js", ResourceKind::Script);
    request.initiator = Initiator {
        kind: "script".into(),
        url: Some("https://case.test/page#top".into()),
        line: Some(3),
    };
    request.failure = Some(refused());
    assert!(one(&scene.run(&MixedContent)).2.contains("asked_by=case.test/page"));
}

#[test]
fn flaws_of_third_party_frames_are_marked() {
    let mut scene = scene();
    let ad = scene.frame("https://ads.example/slot");
    let request = scene.request("http://ads.example/a.js", ResourceKind::Script);
    request.frame = Some(ad);
    request.failure = Some(refused());
    let outcome = scene.run(&MixedContent);
    one(&outcome);
    assert!(outcome.observations[0].third_party);
}
