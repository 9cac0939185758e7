//! Logs, for whoever looks inside.

use tracing_subscriber::EnvFilter;

/// Writes logs to the standard error stream: by `RUST_LOG`, else by how much is wanted.
pub fn init(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0 | 1) => "error,phantom_gang=error",
        (_, 2) => "warn,phantom_gang=info",
        _ => "info,phantom_gang=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
