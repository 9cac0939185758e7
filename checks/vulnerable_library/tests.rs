use serde_json::json;

use super::{CATALOG, VulnerableLibrary};
use crate::check::{Check, EndOfLife, Outcome};
use crate::evidence::{Failure, ProbeAnswer, ResourceKind, Script};
use crate::observation::{Confidence, Observation, Severity};
use crate::testing::Scene;

const BANNER: &str = "/*! jQuery v1.12.4 | (c) jQuery Foundation | jquery.org/license */ window.x = 1;";

fn scene() -> Scene {
    Scene::new("https://case.test/")
}

fn script(scene: &mut Scene, url: Option<&str>, text: Option<&str>) {
    let hash = text.map(|text| {
        // Results are remembered by hash, so that equal hashes must mean equal texts here as well.
        let hash = format!("{text}/{}", text.len());
        scene.bodies.insert(hash.clone(), text.to_owned());
        hash
    });
    scene.evidence.scripts.push(Script {
        frame: "main".into(),
        url: url.map(str::to_owned),
        hash,
        ..Script::default()
    });
}

fn running(scene: &mut Scene, value: serde_json::Value) {
    scene.evidence.probes.push(ProbeAnswer {
        check: "vulnerable-library".into(),
        version: 1,
        frame: "main".into(),
        value,
    });
}

fn one(outcome: &Outcome) -> &Observation {
    assert_eq!(outcome.observations.len(), 1, "{outcome:#?}");
    &outcome.observations[0]
}

fn fact<'a>(observation: &'a Observation, label: &str) -> &'a str {
    observation
        .facts
        .iter()
        .find(|fact| fact.label == label)
        .map_or("", |fact| fact.value.as_str())
}

fn passes(scene: &Scene) -> bool {
    scene.run(&VulnerableLibrary).observations.is_empty()
}

#[test]
fn kinds_of_evidence_set_the_confidence() {
    let url = "https://case.test/js/jquery-1.12.4.min.js?v=9.9.9";
    let alive = || json!([{"name": "jquery", "version": "1.12.4"}]);

    let mut by_url = scene();
    script(&mut by_url, Some(url), None);
    let outcome = by_url.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).confidence, Confidence::Tentative);

    let mut by_text = scene();
    script(&mut by_text, Some("https://case.test/bundle.3f2a9c1b.js"), Some(BANNER));
    let outcome = by_text.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).confidence, Confidence::Firm);
    assert_eq!(
        one(&outcome).cause.to_string(),
        "library=jquery script=case.test/bundle.js"
    );

    let mut by_running = scene();
    running(&mut by_running, alive());
    let outcome = by_running.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).confidence, Confidence::Firm);
    assert_eq!(one(&outcome).cause.to_string(), "library=jquery script=unknown");

    let mut agreeing = scene();
    script(&mut agreeing, Some(url), Some(BANNER));
    running(&mut agreeing, alive());
    let outcome = agreeing.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).confidence, Confidence::Certain);
    assert_eq!(
        one(&outcome).cause.to_string(),
        "library=jquery script=case.test/js/jquery.min.js"
    );
    assert_eq!(fact(one(&outcome), "fixed in"), "3.5.0");
    assert_eq!(one(&outcome).severity, Severity::Medium);
    assert!(
        one(&outcome)
            .facts
            .iter()
            .any(|fact| fact.label == "advisory" && fact.value.contains("CVE-2020-11023"))
    );
}

#[test]
fn what_is_no_vulnerable_library_passes() {
    let urls = [
        "https://case.test/js/jquery.min.js?v=1.12.4",
        "https://case.test/jquery-3.7.1.min.js",
        "https://case.test/jquery@1.12/jquery.js",
        "https://case.test/my-jquery-1.2.3-plugin.js",
        "data:text/javascript,jquery-1.12.4.js",
    ];
    for url in urls {
        let mut scene = scene();
        script(&mut scene, Some(url), None);
        assert!(passes(&scene), "{url}");
    }
    let texts = [
        "// works with jQuery v1.12.4",
        "const text = 'jQuery 1.12.4 is old';",
        "/*! jQuery v3.7.1 | (c) OpenJS */",
        "",
    ];
    for text in texts {
        let mut scene = scene();
        script(&mut scene, None, Some(text));
        assert!(passes(&scene), "{text}");
    }
}

#[test]
fn a_version_that_the_code_went_on_naming_yields_to_a_later_banner() {
    let code = r#"var o={VERSION:"2.3.6",STOPPED:1,STARTED:2,QUEUED:1,UPLOADING:2,FAILED:4}"#;
    let banner = "/**\n * Plupload - multi-runtime File Uploader\n * v2.3.9\n *";
    let found = |text: &str| {
        let mut scene = scene();
        script(&mut scene, Some("https://case.test/vendor.js"), Some(text));
        running(&mut scene, json!([{"name": "plupload", "version": "2.3.6"}]));
        !passes(&scene)
    };
    assert!(found(code));
    assert!(!found(&format!("{banner}\n/{code}")));
}

#[test]
fn a_url_alone_is_refuted_by_text_and_page_together() {
    let url = "https://case.test/js/jquery-1.12.4.js";
    let other = || json!([{"name": "lodash", "version": "99.0.0"}]);
    // The kind of the script, whether its text is known, the page's answer, whether the URL's claim stands.
    let table = [
        ("", true, Some(other()), false),
        ("", true, Some(json!([])), false),
        ("", false, Some(other()), true),
        ("", true, None, true),
        ("", true, Some(json!("forged")), true),
        ("module", true, Some(other()), true),
    ];
    for (kind, with_text, answer, stands) in table {
        let mut scene = scene();
        script(&mut scene, Some(url), with_text.then_some("const teas = 12;"));
        scene.evidence.scripts[0].kind = kind.into();
        scene.evidence.scripts[0].snippet = "<script>".into();
        let shown = format!("{kind:?} {with_text} {answer:?}");
        if let Some(answer) = answer {
            running(&mut scene, answer);
        }
        assert_eq!(passes(&scene), !stands, "{shown}");
    }

    let mut unasked = scene();
    script(
        &mut unasked,
        Some("https://case.test/flowplayer-5.4.2.js"),
        Some("void 0;"),
    );
    unasked.evidence.scripts[0].snippet = "<script>".into();
    running(&mut unasked, json!([]));
    assert!(!passes(&unasked), "the page is not asked for it");
}

#[test]
fn scripts_that_do_not_run_do_not_count() {
    let mut data = scene();
    script(&mut data, None, Some(BANNER));
    data.evidence.scripts[0].kind = "text/plain".into();
    assert!(passes(&data));

    for (status, failure) in [(Some(404), None), (None, Some("net::ERR_FAILED"))] {
        let mut missing = scene();
        let url = "https://case.test/jquery-1.12.4.js";
        script(&mut missing, Some(url), None);
        let request = missing.request(url, ResourceKind::Script);
        request.status = status;
        request.failure = failure.map(|error| Failure {
            error: error.into(),
            blocked: None,
            canceled: false,
        });
        assert!(passes(&missing));
    }
}

#[test]
fn text_overrules_the_name_and_so_does_the_running_library() {
    let url = "https://case.test/jquery-1.12.4.js";
    let mut by_text = scene();
    script(&mut by_text, Some(url), Some("/*! jQuery v3.7.1 | (c) OpenJS */"));
    assert!(passes(&by_text));

    let mut by_running = scene();
    script(&mut by_running, Some(url), None);
    running(&mut by_running, json!([{"name": "jquery", "version": "3.7.1"}]));
    assert!(passes(&by_running));

    let mut two_copies = scene();
    script(&mut two_copies, Some(url), None);
    script(&mut two_copies, Some("https://case.test/jquery-3.7.1.js"), None);
    running(&mut two_copies, json!([{"name": "jquery", "version": "3.7.1"}]));
    assert_eq!(
        one(&two_copies.run(&VulnerableLibrary)).confidence,
        Confidence::Tentative
    );
}

#[test]
fn a_running_version_belongs_to_the_file_named_after_the_library() {
    let mut scene = scene();
    script(&mut scene, Some("https://case.test/app.js"), None);
    script(&mut scene, Some("https://case.test/vendor/jquery.min.js"), None);
    running(&mut scene, json!([{"name": "jquery", "version": "1.12.4"}]));
    let outcome = scene.run(&VulnerableLibrary);
    assert_eq!(
        one(&outcome).cause.to_string(),
        "library=jquery script=case.test/vendor/jquery.min.js"
    );
}

#[test]
fn copies_in_one_place_are_one_observation() {
    let mut scene = scene();
    script(&mut scene, None, Some(BANNER));
    script(&mut scene, None, Some("/*! jQuery v2.1.0 | (c) */"));
    let outcome = scene.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).cause.to_string(), "library=jquery script=inline");
    assert_eq!(fact(one(&outcome), "version"), "1.12.4, 2.1.0");
}

#[test]
fn parts_are_reported_as_their_library() {
    let mut scene = scene();
    running(
        &mut scene,
        json!([{"name": "jquery-ui", "version": "1.11.0"}, {"name": "jquery-ui-dialog", "version": "1.11.0"}]),
    );
    let outcome = scene.run(&VulnerableLibrary);
    assert_eq!(one(&outcome).cause.to_string(), "library=jquery-ui script=unknown");
}

#[test]
fn what_the_site_says_is_patched_passes() {
    for patched in ["jquery@1.12.4", "jQuery@1.12.4"] {
        let mut scene = scene();
        script(&mut scene, None, Some(BANNER));
        scene.site.patched = vec![patched.into()];
        assert!(passes(&scene), "{patched}");
    }
    let mut other = scene();
    script(&mut other, None, Some(BANNER));
    other.site.patched = vec!["jquery@1.12.3".into(), "lodash@1.12.4".into(), "jquery".into()];
    assert!(!passes(&other));
}

#[test]
fn hostile_answers_are_left_out() {
    let answers = [
        json!(null),
        json!("jquery 1.12.4"),
        json!([1, null, {}, {"name": 3, "version": []}, {"name": "jquery"}, {"name": "nothing", "version": "1.0"}]),
        json!([{"name": "jquery", "version": "<script>"}]),
        json!({"0": {"name": "jquery", "version": "1.12.4"}}),
    ];
    for answer in answers {
        let mut scene = scene();
        running(&mut scene, answer);
        assert!(passes(&scene));
    }
}

#[test]
fn flaws_of_third_party_frames_are_marked() {
    let mut scene = scene();
    let ad = scene.frame("https://ads.example/slot");
    script(&mut scene, Some("https://ads.example/jquery-1.12.4.js"), None);
    scene.evidence.scripts[0].frame = ad;
    assert!(one(&scene.run(&VulnerableLibrary)).third_party);
}

#[test]
fn texts_of_many_libraries_are_recognised() {
    let table = [
        (
            "jquery",
            "1.8.3",
            "/*!\n * jQuery JavaScript Library v1.8.3\n * http://jquery.com/",
        ),
        (
            "jquery-ui",
            "1.11.4",
            "/*! jQuery UI - v1.11.4 - 2015-03-11\n* http://jqueryui.com",
        ),
        ("jquery-migrate", "1.2.1", "/*! jQuery Migrate v1.2.1 | (c) 2005 */"),
        (
            "bootstrap",
            "3.3.7",
            "/*!\n * Bootstrap v3.3.7 (http://getbootstrap.com)\n */",
        ),
        (
            "angularjs",
            "1.5.0",
            "/*\n AngularJS v1.5.0\n (c) 2010-2016 Google, Inc.\n*/",
        ),
        (
            "moment.js",
            "2.10.6",
            "//! moment.js\n//! version : 2.10.6\n//! authors : Tim Wood",
        ),
        ("handlebars", "4.0.5", "/*!\n\n handlebars v4.0.5\n\n Copyright"),
        (
            "lodash",
            "4.17.4",
            "var a,b=\"4.17.4\",c=200,d=\"Unsupported\",e=\"__lodash_hash_undefined__\"",
        ),
        (
            "underscore.js",
            "1.8.3",
            "//     Underscore.js 1.8.3\n//     http://underscorejs.org",
        ),
        ("vue", "2.6.10", "/*!\n * Vue.js v2.6.10\n * (c) 2014-2019 Evan You */"),
        ("DOMPurify", "2.0.0", "/*! @license DOMPurify 2.0.0 | (c) Cure53 */"),
        ("knockout", "3.4.0", "/*!\n * Knockout JavaScript library v3.4.0\n */"),
        (
            "tinyMCE",
            "4.5.1",
            "tinyMCEPreInit={};x={majorVersion:\"4\",minorVersion:\"5.1\",releaseDate:\"x\"},tinyMCEPreInit",
        ),
        (
            "threejs",
            "0.100.0",
            "// Copyright 2010-2021 Three.js Authors\nconst REVISION = '100';",
        ),
    ];
    let catalog = CATALOG.as_ref().unwrap();
    for (name, version, text) in table {
        let hits = catalog.in_text(text, text);
        let found = hits
            .iter()
            .any(|(index, hit)| catalog.component(*index).unwrap().name == name && hit.as_str() == version);
        assert!(found, "{name} {version}: {hits:?}");
    }
}

#[test]
fn urls_of_delivery_networks_are_recognised() {
    let table = [
        (
            "https://cdn.example/ajax/libs/jquery/1.12.4/jquery.min.js",
            "jquery",
            "1.12.4",
        ),
        (
            "https://cdn.example/npm/jquery@1.12.4/dist/jquery.slim.min.js",
            "jquery",
            "1.12.4",
        ),
        (
            "https://cdn.example/npm/@angular/core@8.0.0/bundles/core.umd.js",
            "@angular/core",
            "8.0.0",
        ),
        ("https://case.test/bootstrap-3.3.7.min.js", "bootstrap", "3.3.7"),
        (
            "https://cdn.example/npm/lodash@4.17.4/lodash.min.js",
            "lodash",
            "4.17.4",
        ),
    ];
    let catalog = CATALOG.as_ref().unwrap();
    for (url, name, version) in table {
        let hits = catalog.in_url(&url::Url::parse(url).unwrap());
        let found = hits
            .iter()
            .any(|(index, hit)| catalog.component(*index).unwrap().name == name && hit.as_str() == version);
        assert!(found, "{url}: {hits:?}");
    }
}

#[test]
fn each_pattern_compiles() {
    for component in &super::Advisories::embedded().unwrap().components {
        for pattern in &component.text {
            regex::bytes::RegexBuilder::new(&pattern.regex)
                .unicode(false)
                .build()
                .unwrap_or_else(|error| panic!("{}: {error}", component.name));
        }
        for pattern in component.urls.iter().chain(&component.files) {
            regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{}: {error}", component.name));
        }
    }
}

#[test]
fn the_probe_names_libraries_that_are_known() {
    let probe = VulnerableLibrary.probe().unwrap();
    let catalog = CATALOG.as_ref().unwrap();
    let names: Vec<&str> = probe
        .source
        .split("attempt('")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .collect();
    assert!(names.len() > 50);
    for name in names {
        // Those without any advisory so far are asked for all the same.
        assert!(
            catalog.by_name(name).is_some() || name == "jquery-ui-autocomplete",
            "{name}"
        );
    }
}

#[test]
fn invented_bounds_are_said_as_people_say_them() {
    for (below, said) in [
        ("2.999.999", "versions up to 2"),
        ("3.0.0", "versions below 3.0.0"),
        ("4", "versions below 4"),
    ] {
        assert_eq!(super::ended_line(below), said);
    }
}

#[test]
fn a_line_that_has_ended_is_told_as_the_site_wants() {
    let mut scene = scene();
    running(&mut scene, json!([{"name": "bootstrap", "version": "3.9.0"}]));
    let table = [
        (EndOfLife::Medium, Some(Severity::Medium)),
        (EndOfLife::High, Some(Severity::High)),
        (EndOfLife::Info, Some(Severity::Info)),
        (EndOfLife::Off, None),
    ];
    for (wanted, expected) in table {
        scene.site.end_of_life = wanted;
        let outcome = scene.run(&VulnerableLibrary);
        let found = outcome.observations.first();
        assert_eq!(found.map(|seen| seen.severity), expected, "{wanted:?}");
        assert!(
            found.is_none_or(|seen| seen.title.contains("no longer maintained")),
            "{outcome:?}"
        );
    }
}

#[test]
fn line_ends_make_no_difference() {
    for end in ["\n", "\r\n"] {
        let text = format!("/*!{end} * jQuery Validation Plugin v1.19.2{end} */ window.x = 1;");
        let mut scene = scene();
        script(&mut scene, Some("https://case.test/vendor.js"), Some(&text));
        assert_eq!(
            fact(one(&scene.run(&VulnerableLibrary)), "version"),
            "1.19.2",
            "{end:?}"
        );
    }
}
