//! A browser for others to connect to, started as ours are.

use std::net::SocketAddr;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::BrowserError;
use super::find::{find, usual_user_agent};
use super::process::{Launch, Process, sweep_profiles};
use crate::config::BrowserConfig;
use crate::site::Device;

/// A browser that listens. It ends when this is dropped, or when our process does.
pub struct Listening {
    process: Process,
}

impl Listening {
    /// Starts one, which says who it is by this template. It may still fail to listen.
    pub async fn start(config: &BrowserConfig, user_agent: &str, at: SocketAddr) -> Result<Self, BrowserError> {
        sweep_profiles();
        let process = Process::start(&launch(config, user_agent, at).await?)?;
        Ok(Self { process })
    }

    /// The command line that does the same, for whoever starts browsers otherwise. `profile` is a folder of its own.
    pub async fn command(
        config: &BrowserConfig,
        user_agent: &str,
        at: SocketAddr,
        profile: &Path,
    ) -> Result<Vec<String>, BrowserError> {
        let launch = launch(config, user_agent, at).await?;
        let mut words = vec![launch.found.path.display().to_string()];
        // Nobody is at the other end of a pipe.
        let flags = launch.arguments(profile).into_iter();
        words.extend(flags.filter(|flag| flag != "--remote-debugging-pipe"));
        Ok(words)
    }

    /// Ends when the browser does.
    pub fn ended(&self) -> &CancellationToken {
        self.process.connection.closed()
    }

    /// The last lines it wrote.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// Ends the browser.
    pub async fn end(self) {
        self.process.end().await;
    }
}

async fn launch(config: &BrowserConfig, user_agent: &str, at: SocketAddr) -> Result<Launch, BrowserError> {
    let found = find(config).await?;
    Ok(Launch {
        // Scans say it to each tab; but not to what fetches the script of a service worker.
        user_agent: user_agent.replace("{{ browser }}", &usual_user_agent(&found.version)),
        found,
        config: config.clone(),
        device: Device::default(),
        listen: Some(at),
    })
}
