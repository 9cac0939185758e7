use super::MissingCsrfToken;
use crate::check::{CsrfDefence, Outcome};
use crate::evidence::{
    Answer, Endpoint, EndpointToken, Field, FormMethod, FreshPlace, FreshValue, Meta, ResourceKind, SameSite, Submitter,
};
use crate::observation::{Confidence, Question, Severity};
use crate::testing::{Scene, field, hidden, shape};
use FormMethod::{Get, Post};

const RANDOM: &str = "m8Qw1rT5yU7iO3pA6sD4fG2hJ9kL0zXc";

fn scene(same_site: SameSite) -> Scene {
    let mut scene = Scene::new("https://case.test/settings");
    scene.session_cookie("PHPSESSID", same_site);
    scene
}

fn with_fields(fields: &[Field]) -> Scene {
    let mut scene = scene(SameSite::None);
    scene.form(Post, "https://case.test/save", fields);
    scene
}

fn one(outcome: &Outcome) -> (Severity, Confidence, String) {
    assert_eq!(outcome.observations.len(), 1, "{outcome:?}");
    let observation = &outcome.observations[0];
    (
        observation.severity,
        observation.confidence,
        observation.cause.to_string(),
    )
}

fn passes(scene: &Scene) -> bool {
    scene.run(&MissingCsrfToken).observations.is_empty()
}

#[test]
fn same_site_decides_severity_and_confidence() {
    let table = [
        (SameSite::None, Severity::Medium, Confidence::Firm),
        (SameSite::Unset, Severity::Medium, Confidence::Tentative),
        (SameSite::Lax, Severity::Low, Confidence::Tentative),
        (SameSite::Strict, Severity::Info, Confidence::Tentative),
    ];
    for (same_site, severity, confidence) in table {
        let mut scene = scene(same_site);
        scene.form(Post, "https://case.test/save/17", &[field("text", "nick")]);
        let (got, sure, cause) = one(&scene.run(&MissingCsrfToken));
        assert_eq!((got, sure), (severity, confidence), "{same_site:?}");
        assert_eq!(cause, "action=case.test/save/{id} kind=form method=post");
    }
    assert_eq!(
        one(&with_fields(&[field("email", "e")]).run(&MissingCsrfToken)).0,
        Severity::High
    );
}

#[test]
fn tokens_are_known_by_name() {
    let names = [
        "authenticity_token",
        "csrfmiddlewaretoken",
        "_token",
        "__RequestVerificationToken",
        "_csrf",
        "csrf_token",
        "registration[_token]",
        "_csrf_token",
        "form_token",
        "form_build_id",
        "_wpnonce",
        "csrfToken",
        "struts.token",
        "javax.faces.ViewState",
        "jakarta.faces.ViewState",
        "__VIEWSTATE",
        "sesskey",
        "YII_CSRF_TOKEN",
        "nonce",
        "0123456789abcdef0123456789abcdef",
    ];
    for name in names {
        assert!(
            passes(&with_fields(&[field("text", "nick"), hidden(name, "1")])),
            "{name}"
        );
    }
    let mut known = with_fields(&[field("text", "nick"), hidden("shop_proof", "1")]);
    assert!(!passes(&known));
    known.site.csrf_token_fields = vec!["shop_proof".into()];
    assert!(passes(&known));
}

#[test]
fn tokens_are_known_by_shape_and_identifiers_are_not_tokens() {
    let table = [
        ("x7", RANDOM, true),
        ("proof", "7f4df451a9c3e2b08d6c5e1f00ab43cd", true),
        ("order_id", "1f0c9a52-6d4e-4f8e-9f43-2f3f1a7f0b11", false),
        ("productId", RANDOM, false),
        ("return_url", RANDOM, false),
        ("form", "customerfeedbackform", false),
        ("csrf_token", "", false),
        ("step", "2", false),
    ];
    for (name, value, expected) in table {
        assert_eq!(
            passes(&with_fields(&[field("text", "nick"), hidden(name, value)])),
            expected,
            "{name}={value}"
        );
    }
    let mut visible = field("text", "proof");
    visible.value = Some(shape(RANDOM));
    assert!(!passes(&with_fields(&[visible])));
}

#[test]
fn tokens_elsewhere_count_too() {
    for action in [
        "https://case.test/save?_csrf=x",
        &format!("https://case.test/save?k={RANDOM}"),
    ] {
        let mut scene = scene(SameSite::None);
        scene.form(Post, action, &[field("text", "nick")]);
        assert!(passes(&scene), "{action}");
    }
    for (name, frame, expected) in [
        ("csrf-token", "main", true),
        ("csrf-param", "main", false),
        ("_csrf_header", "main", false),
        ("csrf-token", "other", false),
    ] {
        let mut scene = with_fields(&[field("text", "nick")]);
        scene.evidence.metas.push(Meta {
            frame: frame.into(),
            name: name.into(),
            content: None,
            value: Some(shape(RANDOM)),
        });
        assert_eq!(passes(&scene), expected, "{name} {frame}");
    }
    for (name, expected) in [("XSRF-TOKEN", true), ("csrftoken", true), ("_ga", false)] {
        let mut scene = with_fields(&[field("text", "nick")]);
        scene.session_cookie(name, SameSite::Lax).http_only = false;
        assert_eq!(passes(&scene), expected, "{name}");
    }
}

#[test]
fn what_no_session_accompanies_passes() {
    let mut scene = Scene::new("https://case.test/contact");
    scene.form(Post, "https://case.test/contact", &[field("textarea", "message")]);
    assert!(passes(&scene));
    scene.session_cookie("_ga", SameSite::None);
    assert!(passes(&scene));
    scene.session_cookie("sid", SameSite::None).path = "/admin".into();
    assert!(passes(&scene));
}

#[test]
fn what_changes_nothing_here_passes() {
    let table = [
        (Get, "https://case.test/filter", "colour"),
        (Post, "https://pay.example/checkout", "amount"),
        (Post, "https://case.test/find", "q"),
        (FormMethod::Dialog, "https://case.test/save", "nick"),
        (Post, "javascript:send()", "nick"),
    ];
    for (method, action, name) in table {
        let mut scene = scene(SameSite::None);
        scene.form(method, action, &[field("text", name)]);
        assert!(passes(&scene), "{action}");
    }
}

#[test]
fn a_button_can_make_it_a_post() {
    let mut scene = scene(SameSite::None);
    scene
        .form(Get, "https://case.test/item", &[field("text", "nick")])
        .submitters = vec![Submitter {
        action: Some("https://www.case.test/delete".into()),
        method: Some(Post),
        ..Submitter::default()
    }];
    scene.evidence.cookies[0].domain = ".case.test".into();
    assert!(
        one(&scene.run(&MissingCsrfToken))
            .2
            .contains("action=www.case.test/delete")
    );
}

#[test]
fn a_login_needs_no_session_to_be_reported() {
    let mut scene = Scene::new("https://case.test/login");
    scene.form(
        Post,
        "https://case.test/login",
        &[field("text", "user"), field("password", "p")],
    );
    let (severity, confidence, cause) = one(&scene.run(&MissingCsrfToken));
    assert_eq!((severity, confidence), (Severity::Low, Confidence::Tentative));
    assert!(cause.contains("kind=login"), "{cause}");
}

#[test]
fn a_cookie_known_by_shape_only_is_doubtful() {
    let mut scene = Scene::new("https://case.test/settings");
    scene.session_cookie("shop_customer", SameSite::None);
    scene.form(Post, "https://case.test/save", &[field("text", "nick")]);
    assert_eq!(one(&scene.run(&MissingCsrfToken)).1, Confidence::Tentative);
}

#[test]
fn a_cookie_known_by_shape_only_is_held_against_what_a_new_visitor_gets() {
    let page = || {
        let mut scene = Scene::new("https://case.test/settings");
        scene.session_cookie("shop_customer", SameSite::None);
        scene.form(Post, "https://case.test/save", &[field("text", "nick")]);
        scene
    };
    let let_in = |scene: &mut Scene| {
        let Some(Answer::Fresh { refused, .. }) = scene.evidence.answers.first_mut() else {
            panic!("nothing was asked");
        };
        *refused = true;
    };
    let value = "7f4df451a9c3e2b08d6c5e1f00ab43cd";
    let mut common = page();
    seen_by_a_stranger(&mut common, &[(FreshPlace::Cookie, "shop_customer", value)]);
    assert!(passes(&common), "everybody gets it");

    let mut own = page();
    seen_by_a_stranger(&mut own, &[(FreshPlace::Cookie, "shop_customer", RANDOM)]);
    assert_eq!(one(&own.run(&MissingCsrfToken)).1, Confidence::Tentative);

    let mut needed = page();
    seen_by_a_stranger(&mut needed, &[]);
    let_in(&mut needed);
    let outcome = needed.run(&MissingCsrfToken);
    assert_eq!(one(&outcome).1, Confidence::Firm, "without it nobody is let in");
    assert!(outcome.questions.is_empty());

    let mut either = page();
    either.session_cookie("shop_basket", SameSite::Lax);
    seen_by_a_stranger(&mut either, &[]);
    let_in(&mut either);
    assert_eq!(one(&either.run(&MissingCsrfToken)).1, Confidence::Tentative);
}

#[test]
fn the_sites_file_settles_it() {
    let mut scene = with_fields(&[field("text", "nick")]);
    for defence in [CsrfDefence::Origin, CsrfDefence::FetchMetadata] {
        scene.site.csrf_defence = defence;
        assert!(passes(&scene));
    }
}

#[test]
fn flaws_of_third_party_frames_are_marked() {
    let mut scene = scene(SameSite::None);
    let shop = scene.frame("https://pay.example/form");
    scene.session_cookie("sid", SameSite::None).domain = "pay.example".into();
    scene
        .form(Post, "https://pay.example/pay", &[field("text", "amount")])
        .frame = shop;
    assert!(scene.run(&MissingCsrfToken).observations[0].third_party);
}

fn seen_by_a_stranger(scene: &mut Scene, values: &[(FreshPlace, &str, &str)]) {
    let question = scene.run(&MissingCsrfToken).questions.remove(0);
    let Question::FreshLook { url, form } = question else {
        panic!("{question:?}");
    };
    let values = values.iter().map(|(place, name, value)| FreshValue {
        place: *place,
        name: (*name).to_owned(),
        hash: shape(value).hash,
    });
    let values = values.collect();
    scene.evidence.answers = vec![Answer::Fresh {
        url,
        form,
        values,
        refused: false,
    }];
}

#[test]
fn a_token_that_everybody_gets_is_told_from_one_that_lives() {
    let page = || with_fields(&[field("text", "nick"), hidden("csrf_token", RANDOM)]);
    let asked = page().run(&MissingCsrfToken);
    let question = Question::FreshLook {
        url: "https://case.test/settings".to_owned(),
        form: "case.test/save".to_owned(),
    };
    assert_eq!((asked.questions, asked.observations.len()), (vec![question.clone()], 0));
    for (values, expected) in [
        (vec![(FreshPlace::Field, "csrf_token", RANDOM)], true),
        (vec![(FreshPlace::Field, "csrf_token", "other")], false),
        (vec![(FreshPlace::Meta, "csrf_token", RANDOM)], false),
        (vec![(FreshPlace::Field, "other", RANDOM)], false),
        // Behind a login a stranger gets another page.
        (vec![], false),
    ] {
        let mut scene = page();
        seen_by_a_stranger(&mut scene, &values);
        let outcome = scene.run(&MissingCsrfToken);
        assert_eq!(outcome.observations.len(), usize::from(expected), "{values:?}");
        assert!(outcome.questions.is_empty(), "nothing is asked twice");
    }
    let mut scene = page();
    seen_by_a_stranger(&mut scene, &[(FreshPlace::Field, "csrf_token", RANDOM)]);
    let (severity, confidence, cause) = one(&scene.run(&MissingCsrfToken));
    assert_eq!((severity, confidence), (Severity::Medium, Confidence::Firm));
    assert_eq!(cause, "action=case.test/save kind=static-token method=post");
    scene.evidence.answers = vec![Answer::NotAsked {
        question,
        why: "there was no time".to_owned(),
    }];
    assert!(passes(&scene));
}

#[test]
fn what_known_software_gives_to_all_who_are_not_logged_in_passes() {
    for (name, value, expected) in [
        ("wpEditToken", "+\\", true),
        ("_wpnonce", "0a1b2c3d4e", true),
        ("wpEditToken", "0123456789abcdef0123456789abcdef+\\", false),
        ("csrf_token", "1", false),
    ] {
        let mut scene = with_fields(&[field("textarea", "text"), hidden(name, value)]);
        seen_by_a_stranger(&mut scene, &[(FreshPlace::Field, name, value)]);
        assert_eq!(passes(&scene), expected, "{name}={value}");
    }
}

#[test]
fn a_random_value_that_everybody_gets_is_no_token_and_no_session() {
    let mut scene = with_fields(&[field("text", "nick"), hidden("x9", RANDOM)]);
    seen_by_a_stranger(&mut scene, &[(FreshPlace::Field, "x9", RANDOM)]);
    assert_eq!(
        one(&scene.run(&MissingCsrfToken)).2,
        "action=case.test/save kind=form method=post"
    );

    let mut scene = Scene::new("https://case.test/settings");
    scene.session_cookie("visitor", SameSite::None);
    scene.form(Post, "https://case.test/save", &[hidden("csrf_token", RANDOM)]);
    let value = "7f4df451a9c3e2b08d6c5e1f00ab43cd";
    let everybodys = [
        (FreshPlace::Field, "csrf_token", RANDOM),
        (FreshPlace::Cookie, "visitor", value),
    ];
    seen_by_a_stranger(&mut scene, &everybodys);
    assert!(passes(&scene));
}

#[test]
fn nothing_is_asked_without_need() {
    let asks = |scene: &Scene| !scene.run(&MissingCsrfToken).questions.is_empty();
    assert!(!asks(&with_fields(&[field("text", "nick")])), "there is no token");
    let mut scene = Scene::new("https://case.test/settings");
    scene.form(Post, "https://case.test/save", &[hidden("csrf_token", RANDOM)]);
    assert!(!asks(&scene), "there is no session");
    let mut scene = Scene::new("https://case.test/settings?key=REDACTED");
    scene.session_cookie("PHPSESSID", SameSite::None);
    scene.form(Post, "https://case.test/save", &[hidden("csrf_token", RANDOM)]);
    assert!(!asks(&scene), "the address is not known");
}

#[test]
fn a_session_that_began_elsewhere_counts_for_forms_without_a_token() {
    let visitor = |same_site| scene(same_site).evidence.cookies;
    let mut scene = Scene::new("https://case.test/settings");
    scene.form(Post, "https://case.test/save", &[field("password", "new")]);
    assert!(passes(&scene), "there is no session");
    scene.elsewhere = visitor(SameSite::None);
    let observation = one(&scene.run(&MissingCsrfToken));
    assert_eq!((observation.0, observation.1), (Severity::High, Confidence::Tentative));
    scene.evidence.cookies = visitor(SameSite::Strict);
    assert_eq!(
        one(&scene.run(&MissingCsrfToken)).0,
        Severity::Info,
        "its own session counts"
    );
    scene.evidence.cookies.clear();
    scene.form(Post, "https://case.test/name", &[hidden("csrf_token", RANDOM)]);
    let outcome = scene.run(&MissingCsrfToken);
    assert_eq!(
        outcome.observations.len(),
        1,
        "a form with a token is judged with its own session alone"
    );
    assert!(outcome.questions.is_empty());
    scene.elsewhere[0].name = "visitor".into();
    assert!(passes(&scene), "what only looks like a session is not enough");
}

/// A call by `fetch` with the body of a form.
fn call(scene: &mut Scene) -> &mut Endpoint {
    scene.evidence.endpoints.push(Endpoint {
        method: "POST".into(),
        url: "https://case.test/api/settings/17".into(),
        kind: ResourceKind::Fetch,
        content_type: "application/x-www-form-urlencoded".into(),
        fields: vec!["nick".into()],
        headers: Some(Vec::new()),
        frame: Some("main".into()),
        ..Endpoint::default()
    });
    scene.evidence.endpoints.last_mut().unwrap()
}

/// What makes a call one that is not judged.
type Change = fn(&mut Endpoint);

#[test]
fn a_call_is_judged_only_if_all_of_it_was_seen() {
    let mut whole = scene(SameSite::None);
    call(&mut whole);
    assert_eq!(
        one(&whole.run(&MissingCsrfToken)),
        (
            Severity::Medium,
            Confidence::Firm,
            "action=case.test/api/settings/{id} kind=call method=post".to_owned()
        )
    );
    let changes: [(&str, Change); 6] = [
        ("old evidence", |call| call.headers = None),
        ("a body that was not read", |call| call.unread = true),
        ("of a worker", |call| call.frame = None),
        ("a form's", |call| call.kind = ResourceKind::Document),
        ("a token by its name", |call| call.fields.push("csrf_token".into())),
        ("a token by its look", |call| {
            call.tokens.push(EndpointToken {
                name: "proof".into(),
                header: false,
                inner: false,
                value: shape(RANDOM),
            });
        }),
    ];
    for (why, change) in changes {
        let mut scene = scene(SameSite::None);
        change(call(&mut scene));
        assert!(passes(&scene), "{why}");
    }
}

#[test]
fn a_login_by_a_call_is_a_login() {
    let mut scene = scene(SameSite::None);
    let call = call(&mut scene);
    call.url = "https://case.test/api/login".into();
    call.fields = vec!["user".into(), "password".into()];
    let (severity, confidence, cause) = one(&scene.run(&MissingCsrfToken));
    assert_eq!((severity, confidence), (Severity::Low, Confidence::Tentative));
    assert!(cause.contains("kind=login-call"), "{cause}");
}

/// A form for a word, sent from another origin with this outcome: `honest`, `from_anybody`, `without_token`, `wrong_token`.
fn replayed(same_site: SameSite, fields: &[Field], outcome: Option<[bool; 4]>) -> Outcome {
    let mut scene = scene(same_site);
    scene.site.csrf_proof = true;
    scene.form(Post, "https://case.test/save/17", fields);
    if let Some([honest, from_anybody, without_token, wrong_token]) = outcome {
        let token = fields.iter().find(|field| field.kind == "hidden");
        // What a new visitor gets is another token.
        scene.evidence.answers.push(Answer::Fresh {
            url: "https://case.test/settings".into(),
            form: "case.test/save/{id}".into(),
            values: Vec::new(),
            refused: false,
        });
        scene.evidence.answers.push(Answer::Replayed {
            form: "case.test/save/{id}".into(),
            token: token.map(|field| field.name.clone()),
            honest,
            from_anybody,
            without_token,
            wrong_token,
        });
    }
    scene.run(&MissingCsrfToken)
}

fn asks_for_a_replay(outcome: &Outcome) -> bool {
    let mut asked = outcome.questions.iter();
    asked.any(|question| matches!(question, Question::Replay { .. }))
}

#[test]
fn what_another_origin_could_send_is_certain() {
    use Confidence::{Certain, Firm, Tentative};
    let word = [field("text", "nick")];
    let table = [
        (SameSite::None, [true, false, true, false], Certain),
        (SameSite::Unset, [true, false, true, false], Certain),
        // The server verifies something else.
        (SameSite::None, [true, false, false, false], Tentative),
        (SameSite::Unset, [true, false, false, false], Tentative),
        (SameSite::None, [false, false, false, false], Firm),
        (SameSite::None, [true, true, false, false], Firm),
    ];
    for (same_site, outcome, confidence) in table {
        let seen = one(&replayed(same_site, &word, Some(outcome)));
        assert_eq!(
            (seen.0, seen.1),
            (Severity::Medium, confidence),
            "{same_site:?} {outcome:?}"
        );
        assert!(seen.2.contains("kind=form"), "{}", seen.2);
    }
}

#[test]
fn a_token_that_nobody_looks_at_is_a_finding() {
    let fields = [field("text", "nick"), hidden("csrf_token", RANDOM)];
    let found = |outcome| replayed(SameSite::None, &fields, Some(outcome));
    for outcome in [
        [true, false, true, true],
        [true, false, true, false],
        [true, false, false, true],
    ] {
        let (severity, confidence, cause) = one(&found(outcome));
        assert_eq!((severity, confidence), (Severity::Medium, Confidence::Certain));
        assert!(cause.contains("kind=unverified-token"), "{cause}");
    }
    for outcome in [
        [true, false, false, false],
        [false, false, true, true],
        [true, true, true, true],
    ] {
        assert!(found(outcome).observations.is_empty(), "{outcome:?}");
    }
}

#[test]
fn only_forms_for_words_are_sent_and_only_where_a_cookie_would_go_along() {
    let word = [field("text", "nick")];
    assert!(asks_for_a_replay(&replayed(SameSite::None, &word, None)));
    let token = [field("text", "nick"), hidden("csrf_token", RANDOM)];
    assert!(asks_for_a_replay(&replayed(SameSite::Unset, &token, None)));
    assert!(!asks_for_a_replay(&replayed(SameSite::Lax, &word, None)));
    assert!(!asks_for_a_replay(&replayed(SameSite::Strict, &token, None)));
    for kind in ["password", "email", "file"] {
        let fields = [field("text", "nick"), field(kind, "other")];
        assert!(!asks_for_a_replay(&replayed(SameSite::None, &fields, None)), "{kind}");
    }
    let asked = with_fields(&word).run(&MissingCsrfToken);
    assert!(!asks_for_a_replay(&asked), "the site's file does not ask for it");
}

#[test]
fn a_call_counts_with_the_cookies_that_went_along_with_it() {
    type Names = &'static [&'static str];
    // What went along, what the browser held before the page's scripts ran, and what is said.
    let table: [(Option<Names>, Names, Option<Confidence>); 6] = [
        (None, &[], Some(Confidence::Firm)),
        (Some(&["PHPSESSID"]), &["PHPSESSID"], Some(Confidence::Firm)),
        (Some(&["theme"]), &["theme"], Some(Confidence::Tentative)),
        (Some(&[]), &[], Some(Confidence::Tentative)),
        (Some(&[]), &["PHPSESSID"], None),
        (Some(&["theme"]), &["PHPSESSID", "theme"], None),
    ];
    let owned = |names: Names| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for (sent, before, expected) in table {
        let mut scene = scene(SameSite::None);
        scene.evidence.page.cookies_before = owned(before);
        call(&mut scene).sent_cookies = sent.map(owned);
        let outcome = scene.run(&MissingCsrfToken);
        let said = outcome.observations.first().map(|observation| observation.confidence);
        assert_eq!(said, expected, "{sent:?} {before:?}");
    }
}
