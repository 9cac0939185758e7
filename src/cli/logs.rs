//! Logs, for whoever looks inside.

use tracing_subscriber::EnvFilter;

/// How logs are written: `json` for one object a line, with the ids of scan and page.
const VARIABLE: &str = "PHANTOM_LOG";

/// A library that reports each certificate that it does not trust. Whoever asked for it says so, with what to do.
const TOLD: &str = "rustls_platform_verifier";

/// A library whose traces have secrets in them.
const SECRET: &str = "tungstenite=info";

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
    // Whatever is asked for: it logs whole requests, with what lets in at a remote browser.
    let filter = match SECRET.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(std::io::stderr);
    if json {
        logs.json().flatten_event(true).init();
    } else {
        logs.init();
    }
}
