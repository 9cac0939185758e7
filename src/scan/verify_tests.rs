use super::*;
use crate::triage::FindingState;
use crate::triage::testing::finding;

const START: &str = "https://shop.test/";
const A: &str = "https://shop.test/a";
const B: &str = "https://shop.test/b";
const HOME: &str = "https://shop.test/home";

fn look(url: &str) -> PageLook {
    PageLook {
        url: url.to_owned(),
        state: PageState::Done,
        redirected: false,
        status: Some(200),
        full: true,
        reason: None,
        failed_checks: Vec::new(),
        forms: 0,
        obstacle: None,
        logged_in: None,
        unchanged: None,
    }
}

fn lost(url: &str, state: PageState, reason: &str) -> PageLook {
    PageLook {
        state,
        reason: Some(reason.to_owned()),
        ..look(url)
    }
}

fn seen(looks: Vec<PageLook>, on: &[&str]) -> Seen {
    Seen {
        untried: false,
        scan: Some(ScanId("9".into())),
        looks: looks.into_iter().map(|look| (look.url.clone(), look)).collect(),
        led_to: BTreeMap::new(),
        on: on.iter().map(|&url| url.to_owned()).collect(),
        start: Some(START.to_owned()),
    }
}

fn wanted(urls: &[&str]) -> Vec<Wanted> {
    let include = vec!["https://shop.test/**".to_owned()];
    let scope = crate::site::Scope {
        include,
        exclude: vec!["https://shop.test/closed/**".to_owned()],
        ignore_query: Vec::new(),
        obey_robots: true,
        allow_private: false,
    };
    let rules = ScopeRules::new(&scope).unwrap();
    urls.iter().map(|&url| Wanted::of(url.to_owned(), &rules)).collect()
}

/// The version that the check has now.
fn now() -> u32 {
    check().meta().version
}

fn check() -> &'static dyn Check {
    phantom_checks::by_id("mixed-content").unwrap()
}

fn told(seen: &Seen, urls: &[&str]) -> Verified {
    let mut one = finding("cdn.test", FindingState::Seen);
    one.check_version = now();
    seen.verdict(&one, check(), &wanted(urls))
}

#[test]
fn one_page_is_enough_to_be_there_and_all_are_needed_to_be_gone() {
    let start = || look(START);
    let broken = |url| lost(url, PageState::Failed, "the server answered 500");
    for (what, looks, on, presence) in [
        (
            "on both",
            vec![start(), look(A), look(B)],
            vec![A, B],
            Presence::StillThere,
        ),
        ("on one", vec![start(), look(A), look(B)], vec![B], Presence::StillThere),
        (
            "on one, the other lost",
            vec![start(), broken(A), look(B)],
            vec![B],
            Presence::StillThere,
        ),
        ("on none", vec![start(), look(A), look(B)], vec![], Presence::Gone),
        (
            "one lost",
            vec![start(), look(A), broken(B)],
            vec![],
            Presence::CouldNotReach,
        ),
        (
            "all lost",
            vec![start(), broken(A), broken(B)],
            vec![],
            Presence::CouldNotReach,
        ),
        (
            "no session",
            vec![broken(START), look(A), look(B)],
            vec![],
            Presence::CouldNotReach,
        ),
        (
            "never looked at",
            vec![start(), look(A)],
            vec![],
            Presence::CouldNotReach,
        ),
        (
            "only on the start page",
            vec![start(), look(A), look(B)],
            vec![START],
            Presence::StillThere,
        ),
    ] {
        let verified = told(&seen(looks, &on), &[A, B]);
        assert_eq!(verified.presence, presence, "{what}: {verified:#?}");
        assert_eq!(verified.why.is_some(), presence == Presence::CouldNotReach, "{what}");
        let pages = if what.ends_with("start page") { 3 } else { 2 };
        assert_eq!(verified.pages.len(), pages, "{what}");
    }
}

#[test]
fn each_page_says_why_it_tells_nothing() {
    let with = |change: fn(&mut PageLook)| {
        let mut one = look(A);
        change(&mut one);
        one
    };
    for (page, why) in [
        (
            lost(A, PageState::Failed, "ERR_CONNECTION_REFUSED"),
            "ERR_CONNECTION_REFUSED",
        ),
        (
            lost(A, PageState::Skipped, "the server answered 404"),
            "the server answered 404",
        ),
        (
            with(|one| one.state = PageState::Waiting),
            "it was not looked at in time",
        ),
        (with(|one| one.full = false), "not all of it could be seen"),
        (with(|one| one.status = Some(304)), "the server answered 304"),
        (with(|one| one.redirected = true), "it leads to another page"),
        (
            with(|one| one.failed_checks = vec!["mixed-content".to_owned()]),
            "the check failed on it",
        ),
    ] {
        let verified = told(&seen(vec![look(START), page], &[]), &[A]);
        assert_eq!(verified.presence, Presence::CouldNotReach);
        let said = verified.pages[0].why.as_deref().unwrap();
        assert!(said.contains(why), "{said}");
        assert!(verified.why.unwrap().starts_with(A), "it is said which page");
    }
    let other = with(|one| one.failed_checks = vec!["insecure-form".to_owned()]);
    assert_eq!(
        told(&seen(vec![look(START), other], &[]), &[A]).presence,
        Presence::Gone
    );
}

#[test]
fn a_page_that_leads_elsewhere_is_believed_only_if_it_is_there() {
    let redirected = PageLook {
        redirected: true,
        ..look(A)
    };
    for (on, presence) in [
        (&[HOME] as &[&str], Presence::StillThere),
        (&[], Presence::CouldNotReach),
    ] {
        let mut seen = seen(vec![look(START), redirected.clone(), look(HOME)], on);
        seen.led_to.insert(A.to_owned(), HOME.to_owned());
        let verified = told(&seen, &[A]);
        assert_eq!((verified.presence, verified.pages.len()), (presence, 1));
        assert_eq!(
            verified.pages[0].why.as_deref(),
            Some("it leads to https://shop.test/home")
        );
    }
}

#[test]
fn what_is_no_page_of_the_site_is_not_visited() {
    let urls = ["https://else.test/", "https://shop.test/closed/x", "nonsense", A];
    let wanted = wanted(&urls);
    let visited: Vec<_> = wanted.iter().map(|one| one.page.is_ok()).collect();
    assert_eq!(visited, [false, false, false, true]);
    let verified = told(&seen(vec![look(START), look(A)], &[]), &urls);
    assert_eq!(verified.presence, Presence::CouldNotReach);
    assert!(
        verified.pages[0].why.as_deref().unwrap().contains("scope"),
        "{verified:#?}"
    );
    assert_eq!(
        told(&Seen::default(), &[]).presence,
        Presence::CouldNotReach,
        "no page is known"
    );
}

#[test]
fn another_version_of_the_check_proves_nothing_by_silence() {
    let mut one = finding("cdn.test", FindingState::Seen);
    one.check_version = now() + 1;
    let looks = vec![look(START), look(A)];
    let silent = seen(looks.clone(), &[]).verdict(&one, check(), &wanted(&[A]));
    assert_eq!(silent.presence, Presence::CouldNotReach);
    assert!(silent.why.unwrap().contains("the check changed"));
    let there = seen(looks, &[A]).verdict(&one, check(), &wanted(&[A]));
    assert_eq!(there.presence, Presence::StillThere);
}

#[test]
fn only_one_check_runs_and_little_time_is_taken() {
    let text = "id = \"shop\"\nstart = [\"https://shop.test/\", \"https://shop.test/two\"]\n";
    let site = Site::from_str(text, std::path::Path::new("shop.toml")).unwrap();
    let narrow = narrowed(site.clone(), "mixed-content", 3);
    assert!(!narrow.disabled_checks.contains(&"mixed-content".to_owned()));
    assert_eq!(narrow.disabled_checks.len(), phantom_checks::all().len() - 1);
    assert_eq!((narrow.limits.pages, narrow.start.len()), (4, 1));
    assert!(narrow.limits.duration <= LONGEST && narrow.limits.narrowed);
    assert_eq!(narrow.sitemaps, Sitemaps::List(Vec::new()));
    let pace = |site: &Site| (site.limits.pages_per_s, site.limits.concurrency);
    assert_eq!(pace(&narrow), pace(&site), "no faster than a scan");
    let hurried = hurried(&Config::default()).browser;
    assert!(hurried.page_deadline <= LONGEST_PAGE && hurried.processes == 1);
}
