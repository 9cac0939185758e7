//! `phantom browser`: a browser for the scans of others.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::exit::{Ended, Exit, OrExit as _};
use super::{health, interrupt, output, session};
use crate::browser::Listening;

/// A port that browsers are debugged at by custom.
const PORT: u16 = 9222;

/// The arguments of `phantom browser`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  phantom browser --listen 127.0.0.1:9222\n\nWho reaches its port controls the browser, and \
                  through it what its machine may reach: let only your scanners."
)]
pub struct BrowserArgs {
    /// Where it listens, an address and a port, or a port on loopback. Other addresses than loopback's need
    /// headless-shell
    #[arg(long, value_name = "ADDRESS", value_parser = health::address, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))]
    listen: SocketAddr,
    /// Print the command line that does the same, and start nothing
    #[arg(long)]
    print: bool,
    /// The settings: which browser, and the keys it trusts; without it, phantom.toml in this folder if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs a browser until it ends or somebody interrupts.
pub async fn run(args: BrowserArgs) -> Ended {
    let settings = session::read_config(args.config.as_deref())?;
    let (mut config, user_agent) = (settings.browser, settings.network.user_agent);
    config.endpoints.clear();
    if args.print {
        let profile = PathBuf::from("/tmp/phantom-gang-browser");
        let words = Listening::command(&config, &user_agent, args.listen, &profile)
            .await
            .or_usage()?;
        let quoted: Vec<_> = words.iter().map(|word| output::quoted(word)).collect();
        return output::print([quoted.join(" \\\n  ")]);
    }
    let browser = Listening::start(&config, &user_agent, args.listen).await.or_usage()?;
    output::print([format!(
        "a browser listens at {}; write browser.endpoints = [\"http://{}\"] where scans run; Ctrl-C ends it",
        args.listen, args.listen
    )])?;
    let stop = interrupt::token();
    let ended = browser.ended().clone();
    tokio::select! {
        () = stop.cancelled() => {
            browser.end().await;
            Ok(Exit::Clean)
        }
        () = ended.cancelled() => {
            let words = browser.last_words();
            browser.end().await;
            Err(anyhow::anyhow!("the browser ended: {words}")).or_incomplete()
        }
    }
}
