use super::*;
use crate::evidence::{FormMethod, ProbeAnswer, ResourceKind};
use crate::testing::{Scene, field};

fn rule(find: Noun) -> Rule {
    Rule {
        name: String::new(),
        find,
        on: Vec::new(),
        fits: Vec::new(),
        unless: Vec::new(),
        absent: false,
        cause: vec!["host".to_owned()],
        title: "Something of {host} is odd".to_owned(),
        severity: Severity::Low,
        confidence: Confidence::Firm,
    }
}

fn is(attribute: &str, text: &str) -> Condition {
    Condition {
        attribute: attribute.to_owned(),
        test: Test {
            is: Some(vec![text.to_owned()]),
            ..Test::default()
        },
    }
}

fn declaration(rules: Vec<Rule>) -> Declaration {
    let text = "Severity. Confidence.".to_owned();
    Declaration {
        id: "odd-thing".to_owned(),
        version: 2,
        title: "Something is odd".to_owned(),
        severity: Severity::Low,
        confidence: Confidence::Firm,
        cwe: 200,
        docs: std::array::from_fn(|_| text.clone()),
        asks: Vec::new(),
        rules,
    }
}

fn say(rule: Rule, scene: &Scene) -> Vec<Observation> {
    scene.run(Declared::of(declaration(vec![rule]))).observations
}

#[test]
fn things_of_one_cause_are_one_observation() {
    let mut scene = Scene::new("https://case.test/shop/17");
    for url in ["https://a.test/1.js", "https://a.test/2.js", "https://b.test/1.png"] {
        scene.request(url, ResourceKind::Script);
    }
    let said = say(
        Rule {
            fits: vec![is("kind", "script")],
            unless: vec![is("host", "b.test"), is("kind", "script")],
            ..rule(Noun::Request)
        },
        &scene,
    );
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].title, "Something of a.test is odd");
    assert_eq!(said[0].cause, Cause::new(1, [("host", "a.test".to_owned())]));
    assert_eq!((said[0].check.as_str(), said[0].check_version), ("odd-thing", 2));
    assert!(said[0].facts.contains(&Fact::new("url", "https://a.test/1.js")));
}

#[test]
fn what_a_deploy_changes_is_not_in_a_cause() {
    let mut scene = Scene::new("https://case.test/");
    scene.request("https://a.test/js/app.3f2a9c1b.js?v=3", ResourceKind::Script);
    scene.form(FormMethod::Post, "https://case.test/user/1723/save", &[]);
    let paths = |find| {
        let cause = vec!["path".to_owned()];
        let said = say(Rule { cause, ..rule(find) }, &scene);
        said[0].cause.parts["path"].clone()
    };
    assert_eq!(paths(Noun::Request), "/js/app.js");
    assert_eq!(paths(Noun::Form), "/user/{id}/save");
}

#[test]
fn silence_is_a_flaw_only_where_something_could_be_seen() {
    let missing = || Rule {
        absent: true,
        fits: vec![is("name", "x-odd")],
        ..rule(Noun::Header)
    };
    let mut scene = Scene::document("https://case.test/a");
    assert_eq!(say(missing(), &scene)[0].cause.parts["host"], "case.test");
    scene.header("x-odd", "1");
    assert!(say(missing(), &scene).is_empty());
    // Nothing is known of the headers.
    assert!(say(missing(), &Scene::new("https://case.test/a")).is_empty());
    let mut failed = Scene::document("https://case.test/a");
    failed.evidence.page.status = Some(500);
    assert!(say(missing(), &failed).is_empty());
    let mut not_seen = Scene::document("https://case.test/a");
    not_seen.evidence.frames[0].captured = false;
    assert!(say(missing(), &not_seen).is_empty());
    let elsewhere = Rule {
        on: vec![is("path", "/b")],
        ..missing()
    };
    assert!(say(elsewhere, &Scene::document("https://case.test/a")).is_empty());
}

#[test]
fn each_test_means_what_it_says() {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    let table = [
        (
            Test {
                is: texts(&["a", "b"]),
                ..Test::default()
            },
            "b",
            "c",
        ),
        (
            Test {
                is_not: texts(&["a"]),
                ..Test::default()
            },
            "b",
            "a",
        ),
        (
            Test {
                contains: texts(&["x"]),
                ..Test::default()
            },
            "axb",
            "ab",
        ),
        (
            Test {
                starts_with: texts(&["/a"]),
                ..Test::default()
            },
            "/ab",
            "b/a",
        ),
        (
            Test {
                ends_with: texts(&[".js"]),
                ..Test::default()
            },
            "a.js",
            "a.js.map",
        ),
        (
            Test {
                matches: Some(vec![pattern("^[0-9]+$").unwrap()]),
                ..Test::default()
            },
            "17",
            "17a",
        ),
        (
            Test {
                above: Some(399.0),
                below: Some(500.0),
                ..Test::default()
            },
            "404",
            "200",
        ),
        (
            Test {
                present: Some(true),
                ..Test::default()
            },
            "a",
            "",
        ),
        (
            Test {
                present: Some(false),
                ..Test::default()
            },
            "",
            "a",
        ),
        (
            Test {
                above: Some(1.0),
                ..Test::default()
            },
            "2",
            "many",
        ),
    ];
    for (test, good, bad) in table {
        assert!(test.holds(&[Cow::Borrowed(good)]), "{test:?} {good}");
        assert!(!test.holds(&[Cow::Borrowed(bad)]), "{test:?} {bad}");
    }
    assert!(pattern("(a{1000}){1000}").unwrap_err().contains("too large"));
}

#[test]
fn every_attribute_of_everything_can_be_looked_at() {
    let mut scene = Scene::document("https://case.test/a?b=c");
    scene.form(FormMethod::Post, "https://case.test/save", &[field("text", "name")]);
    scene.request("https://a.test/1.js", ResourceKind::Script);
    scene.session_cookie("sid", crate::evidence::SameSite::Lax);
    for noun in Noun::ALL {
        let conditions = noun.attributes().map(|attribute| Condition {
            attribute: attribute.to_owned(),
            test: Test::default(),
        });
        let fits = conditions.collect();
        let cause = noun.usual_cause().iter().map(|&part| part.to_owned()).collect();
        let expected = noun.items(&scene.subject(), "odd-thing").count();
        let said = say(
            Rule {
                fits,
                cause,
                ..rule(noun)
            },
            &scene,
        );
        assert!(said.len() <= expected && said.is_empty() == (expected == 0), "{noun:?}");
    }
}

#[test]
fn answers_of_the_page_are_looked_at() {
    let asks = vec![
        Ask {
            name: "env".to_owned(),
            question: Question::elements("[data-env=\"</script>\"]".to_owned(), &["Data-Env".to_owned()]).unwrap(),
        },
        Ask {
            name: "debug".to_owned(),
            question: Question::value("App.debug").unwrap(),
        },
    ];
    let check = Declared::of(Declaration {
        asks,
        ..declaration(vec![Rule {
            fits: vec![is("ask", "env"), is("data-env", "test")],
            ..rule(Noun::Answer)
        }])
    });
    let probe = check.probe().unwrap();
    assert!(probe.source.contains(r#"[{"name":"env","select":"[data-env=\"</script>\"]","attributes":["data-env"]},{"name":"debug","read":["App","debug"]}]"#), "{}", probe.source);
    let mut scene = Scene::new("https://case.test/");
    let value =
        serde_json::json!([{"ask": "env", "value": "Test", "attributes": {"data-env": "test"}}, 7, {"ask": ["x"]}]);
    scene.evidence.probes.push(ProbeAnswer {
        check: "odd-thing".to_owned(),
        version: probe.version,
        frame: "main".to_owned(),
        value,
    });
    let said = scene.run(check).observations;
    assert_eq!(said.len(), 1);
    assert!(said[0].facts.contains(&Fact::new("data-env", "test")));
}

#[test]
fn no_question_reaches_for_secrets_or_out_of_the_document() {
    for way in [
        "document.cookie",
        "localStorage.token",
        "form.value",
        "App['x']",
        "a()",
        "",
        "a..b",
        "parent.App",
        "window.top.x",
    ] {
        assert!(Question::value(way).is_err(), "{way}");
    }
    assert!(Question::value("App.$state.data-env").is_ok());
    assert!(Question::elements("input".to_owned(), &["VALUE".to_owned()]).is_err());
}

#[test]
fn an_id_is_given_once_and_documentation_reads_like_that_of_the_others() {
    let mut taken = declaration(Vec::new());
    taken.id = "mixed-content".to_owned();
    assert_eq!(
        declare(taken).unwrap_err().to_string(),
        "there is a check `mixed-content` already"
    );
    let docs = Declared::of(declaration(Vec::new())).meta().docs();
    assert_eq!(
        docs.sections().map(|(heading, _)| heading).collect::<Vec<_>>(),
        docs::HEADINGS
    );
    assert_eq!(docs.section("How to fix"), "Severity. Confidence.");
}
