use super::InsecureForm;
use crate::check::Outcome;
use crate::evidence::{FormMethod, Hop, Meta, ResourceKind, SameSite, Submitter};
use crate::observation::{Confidence, Severity};
use crate::testing::{Scene, field};
use FormMethod::{Dialog, Get, Post};

const PAGE: &str = "https://case.test/page";

fn one(outcome: &Outcome) -> (Severity, Confidence, String) {
    assert_eq!(outcome.observations.len(), 1, "{outcome:?}");
    let observation = &outcome.observations[0];
    (
        observation.severity,
        observation.confidence,
        observation.cause.to_string(),
    )
}

#[test]
fn severity_follows_the_most_sensitive_field() {
    let table = [
        ("password", "p", Severity::High, "password"),
        ("text", "card_number", Severity::High, "card"),
        ("text", "otp", Severity::High, "one-time-code"),
        ("email", "e", Severity::Medium, "email"),
        ("tel", "t", Severity::Medium, "personal"),
        ("text", "comment", Severity::Low, "other"),
    ];
    for (kind, name, severity, fields) in table {
        let mut scene = Scene::new(PAGE);
        scene.form(Post, "http://case.test/send/17", &[field(kind, name)]);
        let (got, confidence, cause) = one(&scene.run(&InsecureForm));
        assert_eq!((got, confidence), (severity, Confidence::Firm));
        let expected = format!("action=case.test/send/{{id}} fields={fields} kind=insecure-action method=post");
        assert_eq!(cause, expected);
    }
}

#[test]
fn what_does_not_leak_passes() {
    let table = [
        (PAGE, Post, "https://case.test/send"),
        (PAGE, Post, "http://127.0.0.1:8080/send"),
        (PAGE, Post, "http://localhost/send"),
        (PAGE, Dialog, "http://case.test/send"),
        (PAGE, Post, "javascript:void(0)"),
        (PAGE, Post, "mailto:a@case.test"),
        ("http://localhost:3000/", Post, "http://localhost:3000/send"),
    ];
    for (page, method, action) in table {
        let mut scene = Scene::new(page);
        scene.form(method, action, &[field("password", "p")]);
        assert!(scene.run(&InsecureForm).observations.is_empty(), "{page} {action}");
    }
}

#[test]
fn a_buttons_own_action_counts() {
    let mut scene = Scene::new(PAGE);
    scene
        .form(Post, "https://case.test/save", &[field("email", "e")])
        .submitters = vec![
        Submitter::default(),
        Submitter {
            action: Some("http://case.test/preview".into()),
            ..Submitter::default()
        },
    ];
    let (_, confidence, cause) = one(&scene.run(&InsecureForm));
    assert_eq!(confidence, Confidence::Firm);
    assert!(cause.contains("action=case.test/preview"), "{cause}");
}

#[test]
fn a_target_that_no_button_uses_is_doubtful() {
    let mut scene = Scene::new(PAGE);
    scene
        .form(Post, "http://case.test/old", &[field("email", "e")])
        .submitters = vec![Submitter {
        action: Some("https://case.test/new".into()),
        ..Submitter::default()
    }];
    assert_eq!(one(&scene.run(&InsecureForm)).1, Confidence::Tentative);
}

#[test]
fn what_the_browser_upgrades_passes() {
    let form = |scene: &mut Scene| {
        scene.form(Post, "http://www.case.test/send", &[field("password", "p")]);
    };
    let table = [
        (
            "content-security-policy",
            "default-src 'self'; upgrade-insecure-requests",
            true,
        ),
        (
            "content-security-policy-report-only",
            "upgrade-insecure-requests",
            false,
        ),
        ("strict-transport-security", "max-age=31536000; includeSubDomains", true),
        ("strict-transport-security", "max-age=31536000", false),
        ("strict-transport-security", "max-age=0; includeSubDomains", false),
    ];
    for (name, value, passes) in table {
        let mut scene = Scene::new(PAGE);
        form(&mut scene);
        scene.header(name, value);
        assert_eq!(
            scene.run(&InsecureForm).observations.is_empty(),
            passes,
            "{name}: {value}"
        );
    }
    let mut scene = Scene::new(PAGE);
    form(&mut scene);
    scene.evidence.metas.push(Meta {
        frame: "main".into(),
        name: "content-security-policy".into(),
        content: Some("upgrade-insecure-requests".into()),
        value: None,
    });
    assert!(scene.run(&InsecureForm).observations.is_empty());
}

#[test]
fn a_search_box_counts_only_with_a_bare_session_cookie() {
    let mut scene = Scene::new(PAGE);
    scene.form(Get, "http://case.test/search", &[field("search", "q")]);
    assert!(scene.run(&InsecureForm).observations.is_empty());
    scene.session_cookie("PHPSESSID", SameSite::Lax);
    assert!(scene.run(&InsecureForm).observations.is_empty());
    scene.evidence.cookies[0].secure = false;
    assert_eq!(one(&scene.run(&InsecureForm)).0, Severity::Low);
}

#[test]
fn a_page_over_http_may_not_ask_for_secrets() {
    let mut scene = Scene::new("http://case.test/login");
    scene.form(
        Post,
        "https://case.test/login",
        &[field("text", "user"), field("password", "p")],
    );
    scene.form(Post, "http://case.test/comment", &[field("textarea", "comment")]);
    let (severity, _, cause) = one(&scene.run(&InsecureForm));
    assert_eq!(severity, Severity::High);
    assert!(cause.contains("kind=insecure-page"), "{cause}");
}

#[test]
fn a_password_does_not_belong_in_a_url() {
    let mut scene = Scene::new(PAGE);
    let form = scene.form(
        Get,
        "https://case.test/login",
        &[field("text", "user"), field("password", "p")],
    );
    form.has_action = true;
    let (severity, confidence, cause) = one(&scene.run(&InsecureForm));
    assert_eq!((severity, confidence), (Severity::Medium, Confidence::Firm));
    assert!(cause.contains("kind=password-in-url"), "{cause}");

    scene.evidence.forms[0].has_action = false;
    assert_eq!(one(&scene.run(&InsecureForm)).1, Confidence::Tentative);
    scene.evidence.forms[0].fields[1].name.clear();
    assert!(scene.run(&InsecureForm).observations.is_empty());
}

#[test]
fn invisible_forms_are_doubtful_and_repeats_are_one() {
    let mut scene = Scene::new(PAGE);
    scene
        .form(Post, "http://case.test/send", &[field("email", "e")])
        .visible = false;
    assert_eq!(one(&scene.run(&InsecureForm)).1, Confidence::Tentative);
    scene.form(Post, "http://case.test/send", &[field("email", "other")]);
    assert_eq!(one(&scene.run(&InsecureForm)).1, Confidence::Firm);
}

#[test]
fn flaws_of_third_party_frames_are_marked() {
    let mut scene = Scene::new(PAGE);
    let ad = scene.frame("https://ads.example/slot");
    scene
        .form(Post, "http://ads.example/send", &[field("email", "e")])
        .frame = ad;
    assert!(scene.run(&InsecureForm).observations[0].third_party);
}

#[test]
fn a_redirect_of_what_was_sent_to_http_counts() {
    let table = [
        (307, "http://case.test/done", "sent-again", Some(Severity::High)),
        (308, "http://pay.test/", "sent-again", Some(Severity::High)),
        (302, "http://case.test/done?order=17", "led-on", Some(Severity::Low)),
        (307, "https://case.test/done", "", None),
        (307, "http://127.0.0.1/done", "", None),
    ];
    for (status, to, kind, severity) in table {
        let mut scene = Scene::new("https://case.test/");
        scene.form(FormMethod::Post, "https://case.test/save", &[field("password", "new")]);
        let request = scene.request("https://case.test/save", ResourceKind::Document);
        request.method = "POST".into();
        request.redirects = vec![Hop {
            url: "https://case.test/save".into(),
            status,
            to: to.into(),
        }];
        let said = scene.run(&InsecureForm).observations;
        let first = said.first();
        assert_eq!(first.map(|said| said.severity), severity, "{status} {to}");
        assert_eq!(first.map_or("", |said| said.cause.parts["kind"].as_str()), kind);
        scene.evidence.requests[0].method = "GET".into();
        assert!(scene.run(&InsecureForm).observations.is_empty());
    }
}
