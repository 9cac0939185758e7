//! `phantom health`: asks a process that works beside this one how it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Collected, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::exit::{Ended, OrExit as _};
use super::output;

/// Where `--status` listens, if the command line does not say.
const VARIABLE: &str = "PHANTOM_STATUS";
/// A port that exporters of metrics use.
const PORT: u16 = 9464;
const PATIENCE: Duration = Duration::from_secs(8);
/// Bytes of an answer that are read.
const LONGEST: usize = 4_096;

/// The arguments of `phantom health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where it was started with `--status`; without it, `PHANTOM_STATUS`, else 127.0.0.1:9464.
    #[arg(value_name = "ADDRESS", value_parser = address)]
    at: Option<SocketAddr>,
    /// The same, as the process itself was told.
    #[arg(long, value_name = "ADDRESS", value_parser = address, hide = true, conflicts_with = "at")]
    status: Option<SocketAddr>,
}

/// An address, or a port on loopback.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse()
        .map_err(|_| "write an address and a port such as 127.0.0.1:9464, or a port".to_owned())
}

/// What the environment says; an error if it is no address.
pub fn of_environment() -> anyhow::Result<Option<SocketAddr>> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(None);
    };
    let at = address(&text).map_err(|why| anyhow::anyhow!("{VARIABLE} is {text:?}; {why}"))?;
    Ok(Some(at))
}

/// Ends with 0 if it is well.
pub async fn run(args: HealthArgs) -> Ended {
    let at = match args.at.or(args.status) {
        Some(at) => Some(at),
        None => of_environment().or_usage()?,
    };
    let mut at = at.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    if at.ip().is_unspecified() {
        at.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let asked = tokio::time::timeout(PATIENCE, ask(at)).await;
    asked
        .unwrap_or_else(|_| Err(anyhow::anyhow!("{at} did not answer within {} s", PATIENCE.as_secs())))
        .or_incomplete()?;
    output::print(["ok".to_owned()])
}

async fn ask(at: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(at).await.with_context(|| {
        format!(
            "nothing answers at {at}: a phantom serve, work or nightly tells there how it is only if it was started \
                 with --status {at}; if it was given another address, name that: phantom health ADDRESS"
        )
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let question = Request::get("/health").header("host", at.to_string());
    let answer = sender.send_request(question.body(Empty::<Bytes>::new())?).await?;
    if answer.status() != StatusCode::OK {
        let why = Limited::new(answer.into_body(), LONGEST).collect().await;
        let why = why.map(Collected::to_bytes).unwrap_or_default();
        bail!(
            "{at} is not well: {}",
            crate::report::safe::one_line(String::from_utf8_lossy(&why).trim())
        );
    }
    Ok(())
}
