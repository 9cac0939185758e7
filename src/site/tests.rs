use std::fs;
use std::path::Path;
use std::time::Duration;

use phantom_checks::check::CsrfDefence;
use url::Url;

use super::*;
use crate::config::{ConfigError, NetworkConfig};

fn read(text: &str) -> Result<Site, ConfigError> {
    Site::from_str(text, Path::new("sitemaps/shop.toml"))
}

const SHOP: &str = "id = \"shop\"\nstart = [\"https://www.shop.example/#top\"]\n";

#[test]
fn a_site_needs_an_id_and_a_start() {
    let site = read(SHOP).unwrap();
    assert_eq!(site.title, "shop");
    assert_eq!(site.start[0].as_str(), "https://www.shop.example/");
    assert_eq!(site.scope.include, ["https://www.shop.example/**"]);
    assert_eq!(site.facts.hosts, ["www.shop.example"]);
    assert!(site.scope.obey_robots && !site.scope.allow_private);
    assert_eq!(site.limits.pages, 5_000);
}

#[test]
fn the_annotated_example_is_valid() {
    let site = Site::load(Path::new("sitemaps/example.toml")).unwrap();
    assert_eq!(site.id.0, "example");
    assert_eq!(site.facts.hosts, ["help.shop.example", "www.shop.example"]);
    assert_eq!(site.facts.csrf_token_fields, ["shop_nonce"]);
    assert_eq!(site.disabled_checks, ["missing-csrf-token"]);
    assert_eq!(site.limits.duration, Duration::from_hours(3));
    assert_eq!(site.explore.mode, ExploreMode::Observe);
    assert_eq!(site.explore.allow_requests.len(), 1);
    assert_eq!(site.explore.never.len(), 2);
}

#[test]
fn what_nothing_is_sent_to_is_no_page() {
    let site = read(&format!("{SHOP}[explore]\nnever = [\"**/secret/**\"]")).unwrap();
    let rules = site.rules().unwrap();
    for (url, admitted) in [
        ("https://www.shop.example/secret/a", false),
        ("https://www.shop.example/a", true),
    ] {
        assert_eq!(rules.admits(&Url::parse(url).unwrap()).is_ok(), admitted, "{url}");
    }
}

#[test]
fn a_stored_site_is_the_same_site() {
    let mut site = Site::load(Path::new("sitemaps/example.toml")).unwrap();
    site.facts.csrf_defence = CsrfDefence::FetchMetadata;
    let json = serde_json::to_string(&site).unwrap();
    let again: Site = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
    assert_eq!(again.facts, site.facts);
}

#[test]
fn what_is_wrong_is_said_with_place_key_and_advice() {
    let cases = [
        (
            "",
            "`id` is missing (sitemaps/shop.toml:1:1); add it: a short name that is kept for ever, such as \"shop-main\"\n`start` is missing (sitemaps/shop.toml:1:1); add it: the URLs where the crawl starts",
        ),
        (
            "id = \"Shop\"\nstart = []",
            "`id` is \"Shop\" (sitemaps/shop.toml:1:6); write at most 64 small letters, digits and hyphens, such as \"shop-main\"\n`start` is empty (sitemaps/shop.toml:2:9); name at least one, or remove the key",
        ),
        (
            "id = \"shop\"\nstart = [\"www.shop.example\"]",
            "`start` [0] is not a URL (relative URL without a base) (sitemaps/shop.toml:2:10); write a URL such as \"https://shop.example/\"",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(read(text).unwrap_err().to_string(), message, "{text}");
    }
    let cases = [
        (
            "[scope]\ninclude = [\"/**\"]",
            "`scope.include` [0] = \"/**\" names no host, so every site of the web would be in scope (sitemaps/shop.toml:4:12); begin it with a host, such as \"https://www.shop.example/**\"",
        ),
        (
            "[scope]\nexclude = [\"logout\"]",
            "`scope.exclude` [0] = \"logout\" is no pattern of URLs (sitemaps/shop.toml:4:12); begin it with \"https://\", \"http://\", \"*://\", \"/\" or \"**\"",
        ),
        (
            "[scope]\ninclude = [\"https://a.example/**\"]",
            "`start` names https://www.shop.example/, which is not in the site's scope (sitemaps/shop.toml:2:9); include it under [scope], or start elsewhere",
        ),
        (
            "[scope]\nexclude = [\"**\"]",
            "`start` names https://www.shop.example/, which is excluded by the site's pattern `**` (sitemaps/shop.toml:2:9); include it under [scope], or start elsewhere",
        ),
        (
            "[scope]\nrobot = \"obey\"",
            "`scope.robot` is not a known key (sitemaps/shop.toml:4:1); did you mean `robots`?",
        ),
        (
            "[limits]\npages_per_s = 0",
            "`limits.pages_per_s` is 0 (sitemaps/shop.toml:4:15); write a number from 0.01 to 1000",
        ),
        (
            "[limits]\npages_per_template = 0",
            "`limits.pages_per_template` is 0 (sitemaps/shop.toml:4:22); write a whole number from 1 to 10000000",
        ),
        (
            "[explore]\nmode = \"full\"",
            "`explore.mode` = \"full\" submits forms that change the site's state (sitemaps/shop.toml:4:8); add `allow_state_change = true` if this is a test system, or write \"safe\"",
        ),
        (
            "[explore]\nmode = \"safe\"\ncsrf_proof = true",
            "`explore.csrf_proof` = true sends forms in the account's name (sitemaps/shop.toml:5:14); write `mode = \"full\"` and `allow_state_change = true` if this is a test account, or leave it out",
        ),
        (
            "[explore]\nmode = \"save\"",
            "`explore.mode` is \"save\" (sitemaps/shop.toml:4:8); did you mean \"safe\"? Write \"observe\" or \"safe\" or \"full\"",
        ),
        (
            "[explore]\nallow_request = []",
            "`explore.allow_request` is not a known key (sitemaps/shop.toml:4:1); did you mean `allow_requests`?",
        ),
        (
            "[explore]\nallow_requests = [{ path = \"/a\" }]",
            "`explore.allow_requests.method` is missing (sitemaps/shop.toml:4:19); add it: the method, such as \"POST\"",
        ),
        (
            "[explore]\nallow_requests = [{ method = \"post\", path = \"**/a\", host = \"a/b\", graphql = \"mutation\" }]",
            "`explore.allow_requests.method` is \"post\" (sitemaps/shop.toml:4:30); write a method in capital letters, such as \"POST\"\n`explore.allow_requests.path` is \"**/a\" (sitemaps/shop.toml:4:45); begin it with \"/\", and name another host as `host`\n`explore.allow_requests.host` is \"a/b\" (sitemaps/shop.toml:4:60); write a host such as \"api.shop.example\" or \"*.shop.example\"\n`explore.allow_requests.graphql` is \"mutation\" (sitemaps/shop.toml:4:77); write \"query\"",
        ),
        (
            "[explore]\nnever = [\"delete\"]",
            "`explore.never` [0] = \"delete\" is no pattern of URLs (sitemaps/shop.toml:4:10); begin it with \"https://\", \"http://\", \"*://\", \"/\" or \"**\"",
        ),
        (
            "[explore]\nnever = [\"/**\"]",
            "`start` names https://www.shop.example/, which is excluded by the site's pattern `/**` (sitemaps/shop.toml:2:9); include it under [scope], or start elsewhere",
        ),
        (
            "[login]\ncheck = { url = \"https://www.shop.example/me\", logged_in = \"css:#me\" }",
            "`login` does not say how to log in (sitemaps/shop.toml:3:1); add one of steps, cookies, headers_env, http_auth, storage_state, command",
        ),
        (
            "[login]\nsteps = [{ go = \"https://www.shop.example/in\" }]",
            "`login.check` is missing (sitemaps/shop.toml:3:1); add it: what tells that it is logged in: { url = \"https://…/account\", logged_in = \"css:#account-menu\" }",
        ),
        (
            "[login]\ncheck = { url = \"https://www.shop.example/me\", logged_in = \"#me\" }\ncommand = [\"x\"]",
            "`login.check.logged_in` is \"#me\" (sitemaps/shop.toml:4:60); begin it with \"css:\", \"text:\" or \"label:\", such as \"css:#user\"",
        ),
        (
            "[client]\nconsent = [{ clck = \"css:#ok\" }, { fill = \"css:#a\" }]",
            "`client.consent` says nothing to do (sitemaps/shop.toml:4:12); write one of go, fill, click, press and wait in each step\n`client.consent.clck` is not a known key (sitemaps/shop.toml:4:14); did you mean `click`?\n`client.consent.fill` is not told what to fill in (sitemaps/shop.toml:4:43); name one of with_env, with_file, with_totp_env, with_totp_file, and with for what is no secret",
        ),
        (
            "[client]\nheaders_env = { Authorization = \"hunter2\" }",
            "`client.headers_env.Authorization` is not the name of an environment variable (sitemaps/shop.toml:4:33); put the secret into the environment and write the variable's name here, such as \"JIRA_TOKEN\"",
        ),
        (
            "[client]\nviewport = \"1280\"",
            "`client.viewport` is \"1280\" (sitemaps/shop.toml:4:12); write width and height from 100 to 8000, such as \"1280x800\"",
        ),
        (
            "[[suppress]]\nreason = \"old\"\nby = \"me\"",
            "`suppress` does not say what it covers (sitemaps/shop.toml:3:1); name a `check`, a `finding`, `pages` or a `host`; a whole site is left out by deleting its file",
        ),
        (
            "[[suppress]]\nreason = \"old\"\nby = \"me\"\nhost = \"cdn.test\"\nuntil = 2027-02-31",
            "this is not TOML: invalid date, expected day between 01 and 28 (sitemaps/shop.toml:7:9); correct it",
        ),
        (
            "[[suppress]]\nreason = \"old\"\nby = \"me\"\nhost = \"cdn.test\"\nuntil = 2027-02-01T10:00:00",
            "`suppress.until` is \"2027-02-01T10:00:00\" (sitemaps/shop.toml:7:9); write a day such as 2027-03-31",
        ),
        (
            "suppress = 1",
            "`suppress` is a whole number (sitemaps/shop.toml:3:12); write each as a table: [[suppress]]",
        ),
        (
            "schedule = { cron = \"0 2 * *\" }",
            "`schedule.cron` is \"0 2 * *\" (sitemaps/shop.toml:3:21); write minute, hour, day of month, month, day of week, such as \"0 2 * * *\"",
        ),
        (
            "schedule = { cron = \"0 2 * * *\", timezone = \"Berlin\" }",
            "`schedule.timezone` is \"Berlin\" (sitemaps/shop.toml:3:45); write a time zone such as \"Europe/Berlin\" or \"UTC\"",
        ),
        (
            "sitemaps = \"all\"",
            "`sitemaps` is \"all\" (sitemaps/shop.toml:3:12); write \"auto\"",
        ),
        (
            "[checks]\npatched = [\"jquery\"]",
            "`checks.patched` [0] is \"jquery\" (sitemaps/shop.toml:4:12); write a library and its version such as \"jquery@1.12.4\"",
        ),
        (
            "[checks]\ncsrf_defence = \"cookies\"",
            "`checks.csrf_defence` is \"cookies\" (sitemaps/shop.toml:4:16); write \"none\" or \"fetch-metadata\" or \"origin\"",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(
            read(&format!("{SHOP}{text}")).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

fn book(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<SiteBook, SiteError>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let book = SiteBook::load(folder.path()).and_then(|book| book.whole().map(|()| book));
    (folder, book)
}

const HELP: &str = "id = \"help\"\nstart = [\"https://help.shop.example/\"]\n";

#[test]
fn a_target_is_a_url_an_id_or_a_file() {
    let (folder, book) = book(&[
        ("a.toml", SHOP),
        ("b.toml", HELP),
        ("example.toml", SHOP),
        ("notes.txt", ""),
    ]);
    let book = book.unwrap();
    assert_eq!(book.sites().count(), 2);
    assert_eq!(book.find("help").unwrap().id.0, "help");
    let file = folder.path().join("b.toml");
    assert_eq!(book.find(file.to_str().unwrap()).unwrap().id.0, "help");

    let adopted = book
        .find("https://www.shop.example/sale?access_token=hunter2#top")
        .unwrap();
    assert_eq!(adopted.id.0, "shop");
    assert_eq!(adopted.start, [Url::parse("https://www.shop.example/sale").unwrap()]);

    let adhoc = book
        .find("https://new.shop.example:8443/a?b&PHPSESSID=hunter2#c")
        .unwrap();
    assert_eq!(adhoc.id.0, "https://new.shop.example:8443");
    assert_eq!(adhoc.start[0].as_str(), "https://new.shop.example:8443/a?b");
    assert_eq!(adhoc.scope.include, ["https://new.shop.example:8443/**"]);
    assert_eq!(adhoc.facts.hosts, ["new.shop.example"]);
}

#[test]
fn an_http_origin_includes_its_https_one() {
    let adhoc = Site::adhoc(&Url::parse("http://new.shop.example/").unwrap()).unwrap();
    assert_eq!(adhoc.id.0, "http://new.shop.example");
    let both = ["http://new.shop.example/**", "https://new.shop.example/**"];
    assert_eq!(adhoc.scope.include, both);
}

#[test]
fn a_target_that_means_nothing_says_what_to_give() {
    let (folder, book) = book(&[("a.toml", SHOP), ("b.toml", HELP)]);
    let book = book.unwrap();
    let file = folder.path().join("a.toml").display().to_string();
    let cases = [
        ("shp", "no site has the id `shp`; did you mean `shop`?".to_owned()),
        ("new.example", "no site has the id `new.example`; did you mean `https://new.example/`?".to_owned()),
        ("qqq", format!("`qqq` is not known: no file in {} has this id; give a URL, the id of a site, or the path of a site's file", folder.path().display())),
        ("ftp://a.example/", "`ftp://a.example/` is neither http nor https; give a URL, the id of a site, or the path of a site's file".to_owned()),
        ("https://me:pw@a.example/", "`https://a.example/` holds a user name or password, which would be seen in reports; give a URL, the id of a site, or the path of a site's file".to_owned()),
        ("https://", "`the URL` cannot be read; give a URL, the id of a site, or the path of a site's file".to_owned()),
        ("http://www.shop.example/", format!("http://www.shop.example/ is not in the site's scope in {file}, which claims its host; include it there, or scan another URL")),
    ];
    for (target, message) in cases {
        assert_eq!(book.find(target).unwrap_err().to_string(), message, "{target}");
    }
    let missing = book.find("no/such.toml").unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such.toml: "), "{missing}");
}

#[test]
fn two_files_that_claim_the_same_are_an_error_that_names_both() {
    let wide = "id = \"wide\"\nstart = [\"https://shop.example/\"]\n[scope]\ninclude = [\"https://shop.example/**\", \"https://*.shop.example/**\"]\n";
    for (other, says) in [
        (SHOP, "both have the id `shop`; give one of them another id"),
        (
            wide,
            "both claim https://www.shop.example/; exclude it under [scope] in one of them",
        ),
    ] {
        let (folder, book) = book(&[("a.toml", SHOP), ("b.toml", other)]);
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        let message = format!("{} and {} {says}", a.display(), b.display());
        assert_eq!(book.unwrap_err().to_string(), message);
    }
    let narrow = format!("{wide}exclude = [\"https://www.shop.example/**\"]\n");
    assert!(book(&[("a.toml", SHOP), ("b.toml", &narrow)]).1.is_ok());
}

#[test]
fn overlaps_that_only_a_url_shows_are_found_when_it_is_asked_for() {
    let part = |id: &str, start: &str, include: &str| {
        format!(
            "id = \"{id}\"\nstart = [\"https://shop.example/{start}\"]\n[scope]\ninclude = [\"https://shop.example/{include}\"]\n"
        )
    };
    let (_folder, book) = book(&[("a.toml", &part("a", "a", "a*")), ("b.toml", &part("b", "b", "*b"))]);
    let book = book.unwrap();
    let error = book.find("https://shop.example/ab").unwrap_err();
    assert!(matches!(error, SiteError::SameUrl { .. }), "{error}");
}

#[test]
fn all_broken_files_are_named_and_a_missing_folder_is_empty() {
    let (_folder, book) = book(&[("a.toml", "id = 1"), ("b.toml", "x"), ("c.toml", SHOP)]);
    let error = book.unwrap_err().to_string();
    assert!(error.contains("a.toml:1:6") && error.contains("b.toml:1:"), "{error}");
    assert_eq!(SiteBook::load(Path::new("no/such/folder")).unwrap().sites().count(), 0);
}

#[test]
fn a_private_start_needs_both_keys() {
    let mut network = NetworkConfig::default();
    let mut site = Site::adhoc(&Url::parse("http://127.0.0.1:8080/").unwrap()).unwrap();
    let error = site.may_start(&network).unwrap_err().to_string();
    assert_eq!(
        error,
        "http://127.0.0.1:8080/ is at a private address; to scan it, set `network.allow_private = [\"127.0.0.1\"]` in \
         phantom.toml and `scope.allow_private = true` in the file of a site that includes it (both are missing)"
    );
    network.allow_private.push("127.0.0.0/8".parse().unwrap());
    assert!(
        site.may_start(&network)
            .unwrap_err()
            .to_string()
            .contains("(the second is missing)")
    );
    site.scope.allow_private = true;
    assert_eq!(site.may_start(&network), Ok(()));
    for (url, private) in [
        ("http://localhost/", true),
        ("http://a.localhost/", true),
        ("http://10.1.2.3/", true),
        ("http://0x7f.1/", true),
        ("http://169.254.169.254/", true),
        ("http://100.64.0.1/", true),
        ("http://[::1]/", true),
        ("http://[::ffff:10.0.0.1]/", true),
        ("http://[fd00::1]/", true),
        ("http://8.8.8.8/", false),
        ("http://[2001:db8::1]/", false),
        ("http://shop.example/", false),
    ] {
        let site = Site::adhoc(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(site.may_start(&NetworkConfig::default()).is_err(), private, "{url}");
    }
}

proptest::proptest! {
    #[test]
    fn no_file_is_too_strange(text in "(?s).{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_target_is_too_strange(target in ".{0,60}", url in "https?://.{0,40}") {
        let _ = SiteBook::default().find(&target);
        let _ = SiteBook::default().find(&url);
    }
}

#[test]
fn suppressions_are_read() {
    let site = read(&format!(
        "{SHOP}[[suppress]]\ncheck = \"mixed-content\"\npages = [\"/blog/2009/**\"]\nreason = \"Archive\"\n\
         by = \"me@shop.example\"\nuntil = 2027-03-31\n[[suppress]]\nhost = \"CDN.test\"\nreason = \"theirs\"\nby = \"me\"\n"
    ))
    .unwrap();
    let all = site.suppressions(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(
        all.iter().map(|one| one.scope.to_string()).collect::<Vec<_>>(),
        [
            "check mixed-content, site shop, pages /blog/2009/**",
            "site shop, host cdn.test"
        ]
    );
    assert_eq!(
        all[0].until.unwrap().to_string(),
        "2027-04-01T00:00:00Z",
        "the day itself counts"
    );
    assert_eq!((all[1].until, all[1].author.as_str()), (None, "me"));
}

#[test]
fn a_broken_file_stands_only_in_the_way_of_what_it_may_have_a_say_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("help.toml"), HELP).unwrap();
    fs::write(folder.path().join("shop.toml"), "id = 7").unwrap();
    let book = SiteBook::load(folder.path()).unwrap();
    assert_eq!(book.find("help").unwrap().id.0, "help");
    for target in ["https://elsewhere.example/", "shop"] {
        assert!(matches!(book.find(target), Err(SiteError::Files(_))), "{target}");
    }
}
