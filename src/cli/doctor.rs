//! `phantom doctor`

use std::net::SocketAddr;
use std::time::Duration;

use console::{Style, Term};

use super::advisories;
use super::exit::{Ended, Exit, Failure, OrExit};
use super::session::{self, Setup};
use crate::browser::{self, ClientRules, Pool, PoolOptions, default_tabs};
use crate::config::Config;
use crate::egress::{Egress, EgressRules, UPSTREAM_WARNING};
use crate::jira::Client;
use crate::report::safe::visible;
use crate::scan::advisories_in_use;
use crate::store::Store;

/// How long a browser may take to start before that is a finding in itself.
const SLOW_START: Duration = Duration::from_secs(10);

/// What one examination comes to.
enum Health {
    Good(String),
    /// It works, but somebody should know.
    Doubtful(String),
    Bad(String),
}

/// Examines everything a scan needs, and says what to do about what is wrong.
pub async fn run(setup: &Setup) -> Ended {
    let mut exit = Exit::Clean;
    let config = setup.config();
    let mut say = |what: &str, health: Health| -> Result<(), Failure> {
        let (mark, text) = match &health {
            Health::Good(text) => (Style::new().green().apply_to("ok     "), text),
            Health::Doubtful(text) => (Style::new().yellow().apply_to("warning"), text),
            Health::Bad(text) => (Style::new().red().apply_to("wrong  "), text),
        };
        if matches!(health, Health::Bad(_)) {
            exit = Exit::Usage;
        }
        Term::stdout()
            .write_line(&format!("{mark}  {what:<9} {}", visible(text)))
            .or_usage()
    };
    let config = match config {
        Ok(config) => {
            say("settings", Health::Good(described(setup, &config)))?;
            config
        }
        Err(failure) => {
            say("settings", Health::Bad(format!("{:#}", failure.error)))?;
            say("sites", sites())?;
            // Others than those that are meant would be looked at.
            for what in ["store", "libraries", "egress", "browser", "jira"] {
                let why = "not looked at, because the settings are wrong";
                say(what, Health::Doubtful(why.to_owned()))?;
            }
            return Ok(exit);
        }
    };
    say("sites", sites())?;
    let store = setup.store(&config).await;
    say(
        "store",
        match &store {
            Ok(_) => Health::Good("can be opened and written".to_owned()),
            Err(failure) => Health::Bad(format!("{:#}", failure.error)),
        },
    )?;
    if let Ok(store) = &store {
        say("libraries", libraries(&**store).await)?;
    }
    for (what, health) in browsers(&config).await {
        say(what, health)?;
    }
    say("jira", jira(&config).await)?;
    Ok(exit)
}

fn described(setup: &Setup, config: &Config) -> String {
    let file = match &setup.config {
        Some(path) => path.display().to_string(),
        None if std::path::Path::new("phantom.toml").is_file() => "phantom.toml".to_owned(),
        None => "no phantom.toml, so the defaults".to_owned(),
    };
    format!("{file}; {} tabs", config.browser.tabs.unwrap_or_else(default_tabs))
}

fn sites() -> Health {
    match session::sites().and_then(|book| book.whole().or_usage().map(|()| book)) {
        Ok(book) => match book.sites().count() {
            0 => Health::Good("none in sitemaps/; URLs can be scanned without".to_owned()),
            count => Health::Good(format!("{count} in sitemaps/")),
        },
        Err(failure) => Health::Bad(format!("{:#}", failure.error)),
    }
}

async fn libraries(store: &dyn Store) -> Health {
    match advisories_in_use(store, jiff::Timestamp::now()).await {
        Ok(known) if known.old => Health::Doubtful(advisories::said(&known)),
        Ok(known) => Health::Good(advisories::said(&known)),
        Err(error) => Health::Bad(error.to_string()),
    }
}

async fn browsers(config: &Config) -> Vec<(&'static str, Health)> {
    let rules = EgressRules {
        resolve: config.browser.resolve.clone(),
        ..EgressRules::default()
    };
    let egress = match Egress::start(rules).await {
        Ok(egress) => egress,
        Err(error) => return vec![("egress", Health::Bad(error.to_string()))],
    };
    let mut found = vec![(
        "egress",
        match &config.network.proxy {
            None => Health::Good("the proxy that browsers speak through can listen".to_owned()),
            Some(_) => Health::Doubtful(UPSTREAM_WARNING.to_owned()),
        },
    )];
    if config.browser.endpoints.is_empty() {
        found.extend(local(config, egress.address()).await);
    } else {
        found.extend(remote(config, egress.address()).await);
    }
    found
}

fn options(config: &Config, egress: SocketAddr) -> PoolOptions {
    PoolOptions {
        config: config.browser.clone(),
        user_agent: config.network.user_agent.clone(),
        egress,
        upstream: config.network.proxy.clone(),
        tabs: 1,
        client: ClientRules::default(),
        guard: std::sync::Arc::default(),
    }
}

async fn local(config: &Config, egress: SocketAddr) -> Vec<(&'static str, Health)> {
    let began = std::time::Instant::now();
    let pool = match Pool::start(options(config, egress)).await {
        Ok(pool) => pool,
        Err(error) => return vec![("browser", Health::Bad(error.to_string()))],
    };
    let took = began.elapsed();
    let text = format!("{} starts in {:.1} s", pool.described(), took.as_secs_f64());
    let browser = if took < SLOW_START {
        Health::Good(text)
    } else {
        Health::Doubtful(text)
    };
    let sandbox = match (config.browser.sandbox, pool.sandboxed()) {
        (_, true) => Health::Good("Chromium's own is on".to_owned()),
        (true, false) => Health::Doubtful(
            "Chromium's own is off, because it cannot run as root; run as another user to have it".to_owned(),
        ),
        (false, false) => Health::Doubtful("Chromium's own is off, by browser.sandbox".to_owned()),
    };
    pool.end().await;
    vec![("browser", browser), ("sandbox", sandbox)]
}

/// Each browser of others, and whether one of them can be used for all that a scan needs.
async fn remote(config: &Config, egress: SocketAddr) -> Vec<(&'static str, Health)> {
    let mut found = Vec::new();
    for seen in browser::look(&config.browser).await {
        match seen.is {
            Ok((version, warnings)) => {
                found.push(("browser", Health::Good(format!("{} is Chromium {version}", seen.at))));
                found.extend(warnings.into_iter().map(|text| ("browser", Health::Doubtful(text))));
            }
            Err(why) => found.push(("browser", Health::Bad(why))),
        }
    }
    if found.iter().any(|(_, health)| matches!(health, Health::Good(_))) {
        match Pool::start(options(config, egress)).await {
            Ok(pool) => pool.end().await,
            Err(error) => found.push(("browser", Health::Bad(error.to_string()))),
        }
    }
    found
}

async fn jira(config: &Config) -> Health {
    let Some(jira) = &config.jira else {
        return Health::Good("not configured; nothing is filed".to_owned());
    };
    match Client::new(jira) {
        Err(error) => Health::Bad(error.to_string()),
        Ok(client) => match client.myself().await {
            Ok(_) => Health::Good(format!("{} knows us", jira.base_url)),
            Err(failure) => Health::Bad(format!("{}: {failure}", jira.base_url)),
        },
    }
}
