//! `CONNECT host:port`: bytes in both directions, unseen.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dial::Connection;
use super::error::DialError;
use super::server::{Body, Client};
use super::target::Target;

/// Read at once in each direction. A tunnel costs twice this.
const BUFFER: usize = 32 * 1024;
/// Dials, and if that went well turns the client's connection into a tunnel.
pub(super) async fn open(client: Arc<Client>, request: Request<Incoming>) -> Result<Response<Body>, DialError> {
    let malformed = |reason| DialError::Malformed {
        asked: request.uri().to_string(),
        reason,
    };
    let authority = request
        .uri()
        .authority()
        .ok_or_else(|| malformed("not a host and a port"))?;
    let target = Target::from_authority(authority, None).map_err(malformed)?;
    let server = client
        .proxy
        .ledger
        .watched(&target, client.proxy.dialer.tunnel(&target))
        .await?;
    let upgrade = hyper::upgrade::on(request);
    let proxy = Arc::clone(&client.proxy);
    let linger = proxy.patience.linger;
    let traffic = proxy.ledger.traffic.clone();
    proxy.tasks.spawn(traffic.run_until_cancelled_owned(async move {
        if let Err(error) = run(upgrade, server, linger).await {
            tracing::trace!(%error, %target, "a tunnel broke");
        }
        // Keeps its place among the clients until here.
        drop(client);
    }));
    Ok(Response::new(Either::Right(Either::Right(Empty::new()))))
}

async fn run(upgrade: OnUpgrade, mut server: Connection, linger: Duration) -> io::Result<()> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| io::Error::other("the client's connection is of an unknown kind"))?;
    // What the client sent behind its request without waiting for the answer.
    server.write_all(&parts.read_buf).await?;
    copy_both(parts.io.into_inner(), server, linger).await
}

/// Copies both directions until both have ended, or one has and the other goes on for longer than `linger`.
async fn copy_both(client: TcpStream, server: Connection, linger: Duration) -> io::Result<()> {
    let (client_reader, client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let mut there = std::pin::pin!(copy(client_reader, server_writer));
    let mut back = std::pin::pin!(copy(server_reader, client_writer));
    let rest = tokio::select! {
        ended = &mut there => { ended?; timeout(linger, back).await }
        ended = &mut back => { ended?; timeout(linger, there).await }
    };
    rest.unwrap_or(Ok(()))
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
