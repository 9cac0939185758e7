use super::*;

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_str(text, std::path::Path::new("etc/phantom.toml"))
}

fn errors(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    error.to_string().lines().map(str::to_owned).collect()
}

const JIRA: &str = r#"
[jira]
deployment = "cloud"
base_url = "https://shop.atlassian.net/"
auth = { kind = "basic", email = "scanner@shop.example", token_env = "JIRA_TOKEN" }

[jira.defaults]
project = "SEC"
"#;

#[test]
fn an_empty_file_is_the_default() {
    let config = read("").unwrap();
    assert!(config.store.is_none() && config.jira.is_none());
    assert_eq!(config.browser.page_deadline, Duration::from_secs(45));
    assert!(config.network.user_agent.starts_with("{{ browser }} phantom-gang/"));
}

#[test]
fn the_annotated_example_is_valid() {
    let config = Config::load(std::path::Path::new("examples/phantom.toml")).unwrap();
    assert_eq!(config.store.as_deref(), Some("sqlite:examples/phantom.db"));
    let resolve = [
        ("*.test:443".to_owned(), "127.0.0.1:8443".to_owned()),
        ("*.test:80".to_owned(), "127.0.0.1:9082".to_owned()),
    ];
    assert_eq!(config.browser.resolve, resolve);
    assert_eq!(config.check_folders, [std::path::PathBuf::from("examples/checks")]);
    assert_eq!(
        Config::check_folders(std::path::Path::new("examples/phantom.toml")),
        config.check_folders
    );
    let jira = config.jira.unwrap();
    assert_eq!(jira.base_url.as_str(), "https://shop.atlassian.net/");
    assert_eq!(jira.ca_file, Some("examples/company-ca.pem".into()));
    assert_eq!(jira.defaults.search_projects, ["SEC", "WEB"]);
    assert_eq!(jira.defaults.priority[&Severity::Critical], "Highest");
    assert_eq!(
        jira.defaults.fields["customfield_10010"],
        serde_json::json!({ "value": "DAST" })
    );
}

#[test]
fn jira_needs_little() {
    let jira = read(JIRA).unwrap().jira.unwrap();
    assert_eq!(jira.defaults.search_projects, ["SEC"]);
    assert_eq!(jira.browse_url, jira.base_url);
    assert_eq!(jira.mode, TicketMode::Live);
    let JiraAuth::Basic { user, token } = jira.auth else {
        panic!("{:?}", jira.auth)
    };
    assert_eq!(user, "scanner@shop.example");
    assert_eq!(token, SecretSource::Env("JIRA_TOKEN".to_owned()));
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    for (written, meant) in [
        ("sqlite:phantom.db", "sqlite:etc/phantom.db"),
        ("sqlite:///var/lib/phantom.db", "sqlite:/var/lib/phantom.db"),
        ("sqlite::memory:", "sqlite::memory:"),
    ] {
        let config = read(&format!("store = {written:?}")).unwrap();
        assert_eq!(config.store.as_deref(), Some(meant));
    }
}

#[test]
fn the_first_mapping_of_a_name_stands_first() {
    let text = "[browser.resolve]\n\"b.test:443\" = \"127.0.0.1:1\"\n\"*.TEST:443\" = \"[::1]:2\"\n\"a.test:443\" = \"127.0.0.1:3\"";
    let names: Vec<_> = read(text)
        .unwrap()
        .browser
        .resolve
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["b.test:443", "*.test:443", "a.test:443"]);
}

/// Each wrong line, where it is wrong, and the whole message.
#[test]
fn what_is_wrong_is_said_with_place_key_and_advice() {
    let cases = [
        (
            "tabs = 4",
            "`tabs` is not a known key (etc/phantom.toml:1:1); known here: store, browser, network, evidence, organisation_domains, checks, jira, serve",
        ),
        (
            "[browser]\ntab = 4",
            "`browser.tab` is not a known key (etc/phantom.toml:2:1); did you mean `tabs`?",
        ),
        (
            "browser = 4",
            "`browser` is a whole number (etc/phantom.toml:1:11); make it a table",
        ),
        (
            "[browser]\ntabs = \"4\"",
            "`browser.tabs` is a string (etc/phantom.toml:2:8); write a whole number from 1 to 512",
        ),
        (
            "[browser]\ntabs = 0",
            "`browser.tabs` is 0 (etc/phantom.toml:2:8); write a whole number from 1 to 512",
        ),
        (
            "[browser]\ntabs = 99999999999999999999",
            "`browser.tabs` is 99999999999999999999 (etc/phantom.toml:2:8); write a whole number from 1 to 512",
        ),
        (
            "[browser]\nkind = \"firefox\"",
            "`browser.kind` is \"firefox\" (etc/phantom.toml:2:8); write \"headless-shell\" or \"chromium\"",
        ),
        (
            "[browser]\nkind = \"chrome\"",
            "`browser.kind` is \"chrome\" (etc/phantom.toml:2:8); did you mean \"chromium\"? Write \"headless-shell\" or \"chromium\"",
        ),
        (
            "[browser]\nsandbox = \"no\"",
            "`browser.sandbox` is a string (etc/phantom.toml:2:11); write true or false",
        ),
        (
            "[browser]\npage_deadline = \"fast\"",
            "`browser.page_deadline` is \"fast\" (etc/phantom.toml:2:17); write a duration such as \"45s\", \"20m\", \"3h\", \"90d\" or \"1h 30m\"",
        ),
        (
            "[browser]\npage_deadline = \"3h\"",
            "`browser.page_deadline` is \"3h\" (etc/phantom.toml:2:17); write a duration from \"1s\" to \"10m\"",
        ),
        (
            "[browser]\npage_deadline = 45",
            "`browser.page_deadline` is a whole number (etc/phantom.toml:2:17); write a duration such as \"45s\", \"20m\", \"3h\" or \"90d\"",
        ),
        (
            "[browser]\nresolve = { \"*.test\" = \"127.0.0.1:1\" }",
            "`browser.resolve.\"*.test\"` is not a host and a port (etc/phantom.toml:2:24); write a key such as \"*.test:443\"",
        ),
        (
            "[browser]\nresolve = { \"*.test:443\" = \"localhost\" }",
            "`browser.resolve.\"*.test:443\"` is \"localhost\" (etc/phantom.toml:2:28); write an address and a port such as \"127.0.0.1:8443\"",
        ),
        (
            "[browser]\ntrust_spki = [\"abc\"]",
            "`browser.trust_spki` [0] is \"abc\" (etc/phantom.toml:2:15); write the Base64 of the SHA-256 of a public key (44 characters)",
        ),
        (
            "[evidence]\nscreenshots = \"finding\"",
            "`evidence.screenshots` is \"finding\" (etc/phantom.toml:2:15); did you mean \"findings\"? Write \"findings\" or \"all\" or \"none\"",
        ),
        (
            "[network]\nallow_private = [\"10.20.0.0/16\",\n  \"10.20.1.0/16\"]",
            "`network.allow_private` [1] is \"10.20.1.0/16\" (etc/phantom.toml:3:3); write the network's first address: \"10.20.0.0/16\"",
        ),
        (
            "[network]\nproxy = \"proxy:3128\"",
            "`network.proxy` is neither http nor https (etc/phantom.toml:2:9); write a URL such as \"https://shop.example/\"",
        ),
        (
            "[network]\nuser_agent = \"{{ version }}\"",
            "`network.user_agent` has a placeholder that is not known (etc/phantom.toml:2:14); write `{{ browser }}` for the browser's own; there is no other",
        ),
        (
            "store = \"postgres://scanner:hunter2@db/phantom\"",
            "`store` holds a password, which does not belong in a file (etc/phantom.toml:1:9); leave it out, and set PGPASSWORD or write it into ~/.pgpass",
        ),
        (
            "serve = { listen = \"127.0.0.1:8686\" }",
            "`serve` is not supported yet (etc/phantom.toml:1:1); remove it",
        ),
        (
            "store = ",
            "this is not TOML: string values must be quoted, expected literal string (etc/phantom.toml:1:9); correct it",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(errors(text), [message], "{text}");
    }
}

#[test]
fn what_jira_lacks_is_named() {
    assert_eq!(
        errors("\n[jira]\n"),
        [
            "`jira.deployment` is missing (etc/phantom.toml:2:1); add it: \"cloud\" or \"datacenter\"",
            "`jira.base_url` is missing (etc/phantom.toml:2:1); add it: the URL of Jira, such as \"https://shop.atlassian.net\"",
            "`jira.auth` is missing (etc/phantom.toml:2:1); add it: who the scanner is in Jira",
            "`jira.defaults.project` is missing (etc/phantom.toml:2:1); add it: the key of the project that tickets are filed in",
        ]
    );
}

#[test]
fn what_jira_cannot_do_is_refused_by_name() {
    for (from, to, message) in [
        (
            "\"cloud\"",
            "\"server\"",
            "`jira.deployment` is \"server\" (etc/phantom.toml:3:14); write \"cloud\" or \"datacenter\"",
        ),
        (
            "\"basic\", email = \"scanner@shop.example\"",
            "\"pat\"",
            "`jira.auth.kind` = \"pat\" is for Data Center only (etc/phantom.toml:5:17); write \"basic\" with an API token, or \"oauth2\"",
        ),
        (
            "\"basic\"",
            "\"oauth2\"",
            "`jira.auth.email` is not a known key (etc/phantom.toml:5:27); known here: kind, token_env, token_file, client_id, client_secret_env, client_secret_file",
        ),
        (
            "https://shop.atlassian.net/",
            "https://api.atlassian.com/ex/jira/1",
            "`jira.browse_url` is missing (etc/phantom.toml:2:1); add it: where people open tickets, such as \"https://shop.atlassian.net\"",
        ),
        (
            "https://shop.atlassian.net/\"",
            "https://api.atlassian.com/\"\nbrowse_url = \"https://shop.atlassian.net\"",
            "`jira.base_url` is not the gateway of one Jira Cloud site (etc/phantom.toml:4:12); write \"https://api.atlassian.com/ex/jira/\" and the site's cloud id",
        ),
        (
            "[jira.defaults]",
            "finding_url = \"https://phantom.shop.example/{{ key }}\"\n[jira.defaults]",
            "`jira.finding_url` does not hold `{{ fingerprint }}`, or holds another placeholder (etc/phantom.toml:7:15); write a URL such as \"https://phantom.shop.example/findings/{{ fingerprint }}\"",
        ),
        (
            "[jira.defaults]",
            "finding_url = \"javascript:{{ fingerprint }}\"\n[jira.defaults]",
            "`jira.finding_url` is neither http nor https (etc/phantom.toml:7:15); write a URL such as \"https://shop.example/\"",
        ),
        (
            "[jira.defaults]",
            "proxy = \"socks5://proxy:1080\"\n[jira.defaults]",
            "`jira.proxy` is neither http nor https (etc/phantom.toml:7:9); write a URL such as \"https://shop.example/\"",
        ),
        (
            "[jira.defaults]",
            "[[jira.route]]\nproject = \"SHOP\"\n[jira.defaults]",
            "`jira.route` matches everything (etc/phantom.toml:7:1); name `sites`, `paths`, `causes` or `checks`, or write it into [jira.defaults]",
        ),
        (
            "[jira.defaults]",
            "[jira.lifecycle]\nbreaker_share = 2\n[jira.defaults]",
            "`jira.lifecycle.breaker_share` is 2 (etc/phantom.toml:8:17); write a number from 0 to 1",
        ),
        (
            "[jira.defaults]",
            "[jira.defaults]\nparent = \"an epic\"",
            "`jira.defaults.parent` is \"an epic\" (etc/phantom.toml:8:10); write an issue's key such as \"SEC-1\"",
        ),
        (
            "https://shop.atlassian.net/",
            "http://jira.shop.example",
            "`jira.base_url` is http, which would send the token in the clear (etc/phantom.toml:4:12); write the https URL; http is for loopback only",
        ),
        (
            "\"SEC\"",
            "\"Security\"",
            "`jira.defaults.project` is \"Security\" (etc/phantom.toml:8:11); write a project's key such as \"SEC\"",
        ),
        (
            "token_env = \"JIRA_TOKEN\"",
            "token_env = \"A\", token_file = \"b\"",
            "`jira.auth.token_file` stands beside `token_env` (etc/phantom.toml:5:88); keep one of the two",
        ),
        (
            ", token_env = \"JIRA_TOKEN\"",
            "",
            "`jira.auth.token_env` is missing (etc/phantom.toml:5:8); add it: the name of the environment variable that holds the token; or `token_file`",
        ),
        (
            "\"SEC\"",
            "\"SEC\"\npriority = { severe = \"High\" }",
            "`jira.defaults.priority.severe` is not a severity (etc/phantom.toml:9:23); write a key of \"critical\", \"high\", \"medium\", \"low\" or \"info\"",
        ),
        (
            "\"SEC\"",
            "\"SEC\"\nmin_severity = \"severe\"",
            "`jira.defaults.min_severity` is \"severe\" (etc/phantom.toml:9:16); write \"critical\", \"high\", \"medium\", \"low\" or \"info\"",
        ),
    ] {
        assert_eq!(errors(&JIRA.replacen(from, to, 1)), [message], "{to}");
    }
}

#[test]
fn each_deployment_has_its_ways_to_log_in() {
    let data_center = JIRA.replacen("\"cloud\"", "\"datacenter\"", 1);
    let basic = "kind = \"basic\", email = \"scanner@shop.example\"";
    let auth = |text: &str, auth: &str| read(&text.replacen(basic, auth, 1)).unwrap().jira.unwrap().auth;
    assert!(matches!(auth(&data_center, "kind = \"pat\""), JiraAuth::Pat { .. }));
    assert!(matches!(auth(JIRA, "kind = \"oauth2\""), JiraAuth::OAuth2 { .. }));
    let named = auth(&data_center, "kind = \"basic\", user = \"scanner\"");
    assert!(matches!(named, JiraAuth::Basic { user, .. } if user == "scanner"));
    assert_eq!(
        errors(&data_center),
        [
            "`jira.auth.user` is missing (etc/phantom.toml:5:8); add it: the name of the account that files tickets",
            "`jira.auth.email` is not a known key (etc/phantom.toml:5:26); known here: kind, user, token_env, token_file, client_id, client_secret_env, client_secret_file",
        ]
    );
}

#[test]
fn the_way_to_jira_is_read() {
    let gateway = JIRA.replacen(
        "https://shop.atlassian.net/\"",
        "https://api.atlassian.com/ex/jira/1/\"\nbrowse_url = \"https://shop.atlassian.net\"\nca_file = \"ca.pem\"\n\
         proxy = \"http://proxy:3128\"",
        1,
    );
    let jira = read(&gateway).unwrap().jira.unwrap();
    assert_eq!(jira.base_url.as_str(), "https://api.atlassian.com/ex/jira/1");
    assert_eq!(jira.browse_url.as_str(), "https://shop.atlassian.net/");
    assert_eq!(jira.ca_file, Some("etc/ca.pem".into()));
    assert_eq!(
        jira.proxy.map(|proxy| proxy.to_string()),
        Some("http://proxy:3128/".to_owned())
    );
}

#[test]
fn plain_http_is_for_loopback() {
    for host in ["127.0.0.1:8090", "[::1]:8090", "localhost:8090", "jira.localhost"] {
        let text = JIRA.replacen("https://shop.atlassian.net", &format!("http://{host}"), 1);
        assert!(read(&text).is_ok(), "{host}");
    }
}

#[test]
fn secrets_in_the_wrong_place_are_not_repeated() {
    for text in [
        JIRA.replacen("JIRA_TOKEN", "hunter2-hunter2=9F", 1),
        JIRA.replacen("JIRA_TOKEN", "hunter2", 1),
        JIRA.replacen("token_env = \"JIRA_TOKEN\"", "token = \"hunter2\"", 1),
        JIRA.replacen("https://shop", "https://me:hunter2@shop", 1),
        "[network]\nproxy = \"http://me:hunter2@proxy:3128\"".to_owned(),
        "[network]\nproxy = \"http://me:hunter2@pro xy\"".to_owned(),
        "store = \"mysql://me:hunter2@db\"".to_owned(),
    ] {
        let error = read(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = "[network]\nproxy = 1\nfoo = 2\n[browser]\ntabs = 0\nkind = 3\n[serve]\n";
    let places: Vec<_> = read(text)
        .unwrap_err()
        .problems()
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(places, [2, 3, 5, 6, 7]);
}

#[test]
fn a_file_that_is_not_utf_8_is_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom\n.toml");
    std::fs::write(&path, b"# caf\xc3\xa9\n# \xc3\xa9 \xff\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.starts_with("the byte 0xff here is not UTF-8 ("), "{error}");
    assert!(
        error.ends_with("phantom\\n.toml:2:5); save the file as UTF-8"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(std::path::Path::new("no/such.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot read no/such.toml: "), "{error}");
    assert!(error.ends_with("; check that it exists and may be read"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_file_is_too_strange(text in "(?s).{0,200}") {
        let _ = read(&text);
    }
}

#[test]
fn the_life_of_tickets_is_read() {
    use crate::config::{Baseline, Lifecycle, Resolve};
    let text = JIRA.replacen(
        "[jira.defaults]",
        "[jira.lifecycle]\nresolve = \"transition\"\nsuppress_expiry = { \"Won't Fix\" = \"180d\", default = \"never\" }\n\
         baseline = { release = \"high-first\", per_week = 7 }\nmin_confidence_for = { missing-csrf-token = \"tentative\" }\n\
         verify_comment = true\n[[jira.route]]\nsites = [\"shop-*\"]\npaths = [\"/checkout/**\"]\nproject = \"SHOP\"\nparent = \"SHOP-1\"\n[jira.defaults]",
        1,
    );
    let jira = Config::from_str(&text, std::path::Path::new("phantom.toml"))
        .unwrap()
        .jira
        .unwrap();
    let life = jira.lifecycle;
    assert_eq!(
        (life.resolve, life.baseline),
        (Resolve::Transition, Baseline::Release { per_week: 7 })
    );
    assert_eq!(life.expiry("won't fix"), Some(Duration::from_hours(180 * 24)));
    assert_eq!(life.expiry("Duplicate"), None);
    assert_eq!(life.min_confidence_for.len(), 1);
    assert!(life.verify_comment && !Lifecycle::default().verify_comment);
    assert_eq!(life.max_new_per_day, Lifecycle::default().max_new_per_day);
    let routed = jira.routes[0].over(&jira.defaults);
    assert_eq!(
        (routed.project.as_str(), routed.parent.as_deref()),
        ("SHOP", Some("SHOP-1"))
    );
    assert_eq!(routed.issue_type, jira.defaults.issue_type);
}

#[test]
fn mistakes_about_the_life_of_tickets_name_their_key() {
    for (lines, message) in [
        ("resolve = \"close\"", "`jira.lifecycle.resolve` is \"close\""),
        (
            "resolve_after_clean_scans = 0",
            "`jira.lifecycle.resolve_after_clean_scans` is 0",
        ),
        (
            "suppress_expiry = { Later = \"9d\" }",
            "`jira.lifecycle.suppress_expiry` names \"Later\"",
        ),
        (
            "baseline = { release = \"all\" }",
            "`jira.lifecycle.baseline.release` is \"all\"",
        ),
        (
            "min_confidence_for = { nothing = \"firm\" }",
            "`jira.lifecycle.min_confidence_for.nothing` is not the id",
        ),
        (
            "reopen_windw = \"9d\"",
            "`jira.lifecycle.reopen_windw` is not a known key",
        ),
    ] {
        let text = JIRA.replacen(
            "[jira.defaults]",
            &format!("[jira.lifecycle]\n{lines}\n[jira.defaults]"),
            1,
        );
        let told = errors(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(message) && told[0].contains("phantom.toml:8:"),
            "{told:?}"
        );
    }
}

#[test]
fn endpoints_are_shown_without_their_secrets() {
    let text = "[browser]\nendpoints = [\"http://127.0.0.1:9222\", { url = \"wss://me:hunter2@browsers.test/hunter2?token=hunter2\", weight = 3 }, { url = \"http://[::1]:1\", direct = true }]";
    let endpoints = read(text).unwrap().browser.endpoints;
    let shown: Vec<String> = endpoints.iter().map(|endpoint| format!("{endpoint:?}")).collect();
    assert_eq!(
        shown,
        [
            "Endpoint(http://127.0.0.1:9222, weight 1, direct false)",
            "Endpoint(wss://browsers.test, weight 3, direct true)",
            "Endpoint(http://[::1]:1, weight 1, direct true)",
        ]
    );
}

#[test]
fn what_is_wrong_with_an_endpoint_is_said_without_its_url() {
    for (text, expected) in [
        (
            "[browser]\nendpoints = [\"http://127.0.0.1:9222\", 4]",
            "`browser.endpoints` [1] is a whole number (etc/phantom.toml:2:39); write a URL in quotes, or a table with `url` and `weight`",
        ),
        (
            "[browser]\nendpoints = [\"ftp://user:hunter2@browsers.test\"]",
            "`browser.endpoints` [0] is neither http, https, ws nor wss (etc/phantom.toml:2:14); write a URL such as \"http://127.0.0.1:9222\" or \"wss://browsers.internal/\"",
        ),
        (
            "[browser]\nendpoints = [\"ws://browsers.test/?token=hunter2\"]",
            "`browser.endpoints` [0] would send its password or token in the clear (etc/phantom.toml:2:14); write the https or wss URL; without TLS that is for loopback only",
        ),
        (
            "[browser]\nendpoints = [{ url = \"http://127.0.0.1:9222\", wieght = 2 }]",
            "`browser.endpoints` [0] has an unknown key `wieght` (etc/phantom.toml:2:47); did you mean `weight`?",
        ),
        (
            "[browser]\nendpoints = [{ url = \"http://127.0.0.1:9222\", weight = 0 }]",
            "`browser.endpoints` [0] has a `weight` that is 0 (etc/phantom.toml:2:56); write a whole number from 1 to 100",
        ),
        (
            "[browser]\nendpoints = [{ url = \"wss://browsers.test\", direct = false }]",
            "`browser.endpoints` [0] has `direct = false`, but its browser is on another machine (etc/phantom.toml:2:54); remove it: our proxy listens on this machine alone",
        ),
        (
            "[browser]\nendpoints = [\"http://127.0.0.1:9222\"]\nprocesses = 2",
            "`browser.processes` stands beside `endpoints`, whose browsers are used instead of local ones (etc/phantom.toml:3:13); remove one of the two",
        ),
        (
            "[browser]\nendpoints = [\"wss://browsers.test\"]\nresolve = { \"a.test:443\" = \"127.0.0.1:1\" }",
            "`browser.resolve` stands beside wss://browsers.test of `endpoints`, whose pages do not speak through our proxy, where names are mapped (etc/phantom.toml:3:11); remove it, and start that browser with --host-resolver-rules; or use browsers of this machine",
        ),
    ] {
        assert_eq!(errors(text), [expected]);
    }
}
