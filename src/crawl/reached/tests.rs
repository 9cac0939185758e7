use phantom_checks::evidence::{Field, Form, Header, Link, Page, Request, Script, Submitter};
use proptest::prelude::*;

use super::super::sketch::{hash, sketch};
use super::*;

const AT: &str = "https://shop.test/tea/green";

/// A page with this title and text.
fn page(title: &str, text: &str) -> Evidence {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    Evidence::of(Page {
        url: AT.to_owned(),
        status: Some(200),
        title: Some(title.to_owned()),
        look: Some(Look {
            structure: sketch(["html>body", "body>main", "main>h1", "main>p"]),
            words: sketch(words.iter().map(String::as_str)),
            word_count: u32::try_from(words.len()).unwrap(),
            text_hash: format!("{:x}", hash(text.as_bytes())),
            text: (text.len() <= 1_500).then(|| text.to_owned()),
        }),
        ..Page::default()
    })
}

fn at(url: &str, mut evidence: Evidence) -> Evidence {
    url.clone_into(&mut evidence.page.url);
    evidence
}

fn answered(status: u16, headers: &[(&str, &str)], mut evidence: Evidence) -> Evidence {
    evidence.page.status = Some(status);
    evidence.page.headers = headers
        .iter()
        .map(|(name, value)| Header {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        })
        .collect();
    evidence
}

fn loading(urls: &[&str], mut evidence: Evidence) -> Evidence {
    evidence.requests.extend(urls.iter().map(|url| Request {
        url: (*url).to_owned(),
        ..Request::default()
    }));
    evidence.scripts.push(Script::default());
    evidence
}

fn linking(paths: &[&str], mut evidence: Evidence) -> Evidence {
    evidence.links.extend(paths.iter().map(|path| Link {
        url: format!("https://shop.test{path}"),
        frame: "main".to_owned(),
        source: LinkSource::Anchor,
        rel: String::new(),
        session_in_path: false,
        path: Vec::new(),
    }));
    evidence
}

fn asking(action: &str, fields: &[(&str, &str)], mut evidence: Evidence) -> Evidence {
    evidence.forms.push(Form {
        action: format!("https://shop.test{action}"),
        visible: true,
        fields: fields
            .iter()
            .map(|(name, kind)| Field {
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
                visible: true,
                ..Field::default()
            })
            .collect(),
        ..Form::default()
    });
    evidence
}

fn pressing(button: &str, evidence: Evidence) -> Evidence {
    let mut evidence = asking("/go", &[], evidence);
    evidence.forms[0].submitters.push(Submitter {
        text: button.to_owned(),
        ..Submitter::default()
    });
    evidence
}

fn what(evidence: &Evidence, known: &Known<'_>) -> Option<Obstacle> {
    instead(evidence, known).map(|instead| instead.what)
}

fn prose(about: &str) -> String {
    format!("{about} is told of here at some length, with care and for people who like to read. ").repeat(20)
}

fn recognised(cases: &[(Obstacle, Evidence)]) {
    for (expected, evidence) in cases {
        let found = instead(evidence, &Known::default());
        let title = &evidence.page.title;
        assert_eq!(found.as_ref().map(|found| found.what), Some(*expected), "{title:?}");
        let text = found.unwrap().to_string();
        assert_eq!(Obstacle::named(&text), Some(*expected), "{text}");
    }
}

#[test]
fn challenges_are_recognised() {
    use Obstacle::{Captcha, Challenge};
    let cases = [
        (
            Challenge,
            answered(403, &[("cf-mitigated", "challenge")], page("Just a moment...", "")),
        ),
        (
            Challenge,
            answered(429, &[("x-vercel-mitigated", "challenge")], page("Vercel", "")),
        ),
        (
            Challenge,
            answered(202, &[("x-amzn-waf-action", "challenge")], page("", "")),
        ),
        (
            Captcha,
            answered(405, &[("x-amzn-waf-action", "captcha")], page("Human Verification", "")),
        ),
        (
            Challenge,
            loading(
                &["https://shop.test/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1?ray=8"],
                page("Einen Moment…", "shop.test Überprüfung läuft"),
            ),
        ),
        (
            Challenge,
            answered(
                503,
                &[],
                loading(&["https://shop.test/a.js"], page("Un momento…", "Verificando")),
            ),
        ),
        (
            Challenge,
            loading(
                &["https://shop.test/_Incapsula_Resource?SWJIYLWA=719d34d31c8e3a6e6fffd425f7e032f3"],
                page("", "Request unsuccessful. Incapsula incident ID: 1"),
            ),
        ),
        (
            Challenge,
            loading(
                &["https://shop.test/.within.website/x/cmd/anubis/static/js/main.mjs"],
                page(
                    "Making sure you're not a bot!",
                    "Making sure you're not a bot! Loading...",
                ),
            ),
        ),
    ];
    recognised(&cases);
}

#[test]
fn walls_are_recognised() {
    use Obstacle::{Captcha, Consent, Maintenance, Missing};
    let cases = [
        (
            Captcha,
            loading(
                &["https://js.hcaptcha.com/1/api.js"],
                page(
                    "One more step",
                    "Please confirm that you are human to go on to shop.test",
                ),
            ),
        ),
        (
            Captcha,
            answered(
                403,
                &[],
                loading(
                    &["https://www.google.com/recaptcha/api.js"],
                    page("Sorry", "Our systems have noticed you"),
                ),
            ),
        ),
        (
            Consent,
            pressing(
                "Accept all",
                page(
                    "Before you continue",
                    "We and our partners use cookies for this and that.",
                ),
            ),
        ),
        (
            Consent,
            at(
                "https://shop.test/consent?to=/",
                pressing(
                    "Alle akzeptieren",
                    page("Shop", "Wir brauchen Ihre Einwilligung in die Nutzung von Cookies."),
                ),
            ),
        ),
        (
            Maintenance,
            page("Shop – Wartungsarbeiten", "Wir sind bald wieder für Sie da."),
        ),
        (Maintenance, page("We'll be back soon!", "Sorry for the inconvenience.")),
        (
            Missing,
            linking(
                &["/", "/tea"],
                page("Page not found | Shop", "Nothing here. Try the home page."),
            ),
        ),
        (Missing, page("404", "")),
    ];
    recognised(&cases);
}

#[test]
fn ordinary_pages_are_what_they_are() {
    let captcha = loading(
        &["https://js.hcaptcha.com/1/api.js"],
        page("Contact us", "Write to us. I'm not a robot"),
    );
    let cases = [
        (
            "an article about CAPTCHAs",
            linking(&["/blog"], page("Are you human? How CAPTCHAs work", &prose("CAPTCHA"))),
        ),
        (
            "an article about challenges",
            page("Just a moment: a history of waiting", &prose("Just a moment")),
        ),
        (
            "a contact form with a CAPTCHA",
            asking("/contact", &[("mail", "email"), ("text", "textarea")], captcha),
        ),
        (
            "a page behind Cloudflare that watches the browser",
            linking(
                &["/", "/tea", "/coffee"],
                loading(
                    &["https://shop.test/cdn-cgi/challenge-platform/scripts/jsd/main.js"],
                    page("Tea", "Green tea"),
                ),
            ),
        ),
        (
            "a small page behind Cloudflare that watches the browser",
            loading(
                &["https://shop.test/cdn-cgi/challenge-platform/scripts/jsd/main.js"],
                page(
                    "Opening hours",
                    &"Monday to Friday from nine to five, on Saturdays to noon. ".repeat(3),
                ),
            ),
        ),
        ("a small page", page("Green tea", "We have it.")),
        ("a smaller one", page("", "")),
        (
            "a page with a cookie banner",
            linking(
                &["/", "/tea", "/coffee"],
                pressing("Accept all", page("Tea", "Green tea. We use cookies. Accept all")),
            ),
        ),
        (
            "a page about privacy",
            linking(
                &["/"],
                page("Your privacy choices", &prose("Privacy, cookies and consent")),
            ),
        ),
        (
            "a page about maintenance",
            linking(&["/"], page("Bicycle maintenance", &prose("Maintenance"))),
        ),
        (
            "a login page",
            at(
                "https://shop.test/login",
                asking(
                    "/login",
                    &[("user", "text"), ("pass", "password")],
                    page("Log in", "Log in"),
                ),
            ),
        ),
        (
            "a page with a box for logging in",
            linking(
                &["/", "/tea", "/coffee", "/about"],
                asking(
                    "/login",
                    &[("user", "text"), ("pass", "password")],
                    page("Tea", "Green tea. Log in"),
                ),
            ),
        ),
        (
            "a registration",
            asking(
                "/register",
                &[("mail", "email"), ("pass", "password"), ("again", "password")],
                page("Join", "Join"),
            ),
        ),
        (
            "an article about missing pages",
            linking(&["/"], page("What 404 Not Found means", &prose("404"))),
        ),
        ("a car", linking(&["/"], page("Peugeot 404 | Cars", "A car of 1960"))),
    ];
    for (name, evidence) in cases {
        assert_eq!(instead(&evidence, &Known::default()), None, "{name}");
    }
}

#[test]
fn a_login_in_disguise_looks_like_the_login() {
    let form = |evidence| asking("/session", &[("user", "text"), ("pass", "password")], evidence);
    let text = "Welcome to the shop, please tell us who you are. Forgot your password? Ask for a new one.";
    let real = at("https://shop.test/login", form(page("Shop", text)));
    assert!(is_login_page(&real));
    let logins = [Baseline::of(&real).unwrap()];
    let known = Known {
        logins: &logins,
        ..Known::default()
    };
    let account = at("https://shop.test/account/orders", form(page("Shop", text)));
    assert_eq!(what(&account, &known), Some(Obstacle::Login));
    assert_eq!(what(&account, &Known::default()), None, "nobody knows the login page");
    assert_eq!(what(&real, &known), None);
    let start = Known {
        is_start: true,
        ..known
    };
    assert_eq!(what(&account, &start), None, "a person began there");
    let tea = linking(
        &["/tea"],
        form(page("Shop", "Green tea is good for this and that and everything else")),
    );
    assert_eq!(what(&tea, &known), None);
    let plain = asking(
        "/login",
        &[("user", "text"), ("pass", "password")],
        page("Sign in - Shop", "Sign in"),
    );
    assert_eq!(
        what(&plain, &Known::default()),
        Some(Obstacle::Login),
        "it says so itself"
    );
}

#[test]
fn a_soft_404_looks_like_what_cannot_exist() {
    let none = |path: &str| {
        let text = format!("Oops! We could not find {path} anywhere in the shop. Perhaps it was moved.");
        at(
            &format!("https://shop.test/{path}"),
            linking(&["/", "/tea"], page("Oops", &text)),
        )
    };
    let missing = Baseline::of(&none("phantom-7261")).unwrap();
    let start = Baseline::of(&linking(&["/tea"], page("Shop", "Tea and coffee"))).unwrap();
    let known = Known {
        start: Some(&start),
        missing: Some(&missing),
        ..Known::default()
    };
    assert_eq!(what(&none("tea"), &known), Some(Obstacle::Missing));
    assert_eq!(what(&none("tea"), &Known::default()), None);
    let tea = linking(
        &["/", "/tea"],
        page("Oops", "Oops! We sold all the green tea that there was in the shop."),
    );
    assert_eq!(what(&tea, &known), None);
    // A server that shows its start page for every address.
    let all = Known {
        start: Some(&missing),
        ..known
    };
    assert_eq!(what(&none("tea"), &all), None);
}

#[test]
fn old_evidence_is_judged_by_what_is_sure() {
    let mut old = page("Just a moment...", "");
    old.page.look = None;
    assert_eq!(what(&old, &Known::default()), None);
    assert_eq!(
        what(&answered(403, &[("cf-mitigated", "challenge")], old), &Known::default()),
        Some(Obstacle::Challenge)
    );
}

proptest! {
    #[test]
    fn no_page_is_too_strange(title in ".{0,60}", text in "(?s).{0,200}", url in ".{0,40}", words in 0_u32..300) {
        let mut evidence = loading(&[&url], asking(&url, &[("a", "password")], page(&title, &text)));
        evidence.page.url = url;
        if let Some(look) = &mut evidence.page.look {
            look.word_count = words;
        }
        let baseline = Baseline::of(&evidence).unwrap();
        let known = Known { missing: Some(&baseline), logins: std::slice::from_ref(&baseline), ..Known::default() };
        let _ = instead(&evidence, &known);
    }
}
