//! Logs, for whoever looks inside.

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// How logs are written: `json` for one object a line, with the ids of scan and page.
const VARIABLE: &str = "PHANTOM_LOG";

/// A library that reports each certificate that it does not trust. Whoever asked for it says so, with what to do.
const TOLD: &str = "rustls_platform_verifier";

/// Libraries whose traces have secrets in them: whole requests, with what lets in at a remote browser.
const SECRET: [&str; 2] = ["tungstenite", "async_tungstenite"];

/// Writes logs to the standard error stream: by `RUST_LOG`, else by how much is wanted. As JSON they are for a collector,
/// which wants to know what happens.
pub fn init(verbose: u8, quiet: bool) {
    let json = std::env::var(VARIABLE).is_ok_and(|format| format == "json");
    let level = match (quiet, verbose) {
        _ if json => "warn,phantom_gang=info",
        (true, _) => "error",
        (_, 0 | 1) => "error,phantom_gang=error",
        (_, 2) => "warn,phantom_gang=info",
        _ => "info,phantom_gang=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{level},{TOLD}=off")));
    let logs = fmt::layer()
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(std::io::stderr);
    let logs = if json {
        logs.json().flatten_event(true).boxed()
    } else {
        logs.boxed()
    };
    // A filter of its own: no directive of the other one, however special, lets anything past it.
    let harmless = filter_fn(|told| is_harmless(told.target(), *told.level())).with_max_level_hint(LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(logs.with_filter(filter.and(harmless)))
        .init();
}

fn is_harmless(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or_default();
    level <= Level::INFO || !SECRET.contains(&library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_secrets_in_it_is_not_logged() {
        for (target, level, harmless) in [
            ("tungstenite", Level::WARN, true),
            ("tungstenite::handshake", Level::INFO, true),
            ("tungstenite::handshake::client", Level::TRACE, false),
            ("async_tungstenite", Level::DEBUG, false),
            ("phantom_gang::browser::remote", Level::TRACE, true),
        ] {
            assert_eq!(is_harmless(target, level), harmless, "{target} {level}");
        }
    }
}
