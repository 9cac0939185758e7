//! What is counted and remembered of a scan's traffic.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;

use super::error::DialError;
use super::target::Target;

/// Refusals kept at most. A page that tries more has been understood.
const MAX_REFUSALS: usize = 256;
/// Targets whose last error is kept, at most.
const MAX_ERRORS: usize = 1024;

/// What has passed through the proxy since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes that servers sent.
    pub bytes_in: u64,
    /// Bytes that were sent to servers.
    pub bytes_out: u64,
    /// Connections made to servers, or to the upstream proxy.
    pub connections: u64,
    /// Requests refused by a rule.
    pub refused: u64,
}

/// A host that a rule kept from being reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Host and port as the browser asked for them.
    pub host: String,
    /// The address that was refused.
    pub address: IpAddr,
    /// What kind of address that is, with its article: `a loopback address`.
    pub why: &'static str,
}

/// Shared by all connections of one proxy.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
    budget: Option<u64>,
    exhausted: AtomicBool,
    /// Ends all traffic, but not the proxy, which goes on to say why.
    pub(super) traffic: CancellationToken,
    /// Ends the proxy and with it all traffic.
    pub(super) stop: CancellationToken,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    refusals: Vec<Refusal>,
    errors: HashMap<(String, u16), (u64, DialError)>,
    /// Counts the errors, so that the oldest is known.
    turn: u64,
}

impl Ledger {
    pub(super) fn new(budget: Option<u64>) -> Self {
        let stop = CancellationToken::new();
        Self {
            budget,
            traffic: stop.child_token(),
            stop,
            ..Self::default()
        }
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    pub(super) fn budget_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Says whether there may be traffic at all.
    fn open(&self) -> Result<(), DialError> {
        if self.stop.is_cancelled() {
            Err(DialError::Cut)
        } else if self.budget_exhausted() {
            Err(DialError::Budget)
        } else {
            Ok(())
        }
    }

    /// Does what is to be done for a target unless all traffic ends before, and remembers what came of it.
    pub(super) async fn watched<T>(
        &self,
        target: &Target,
        work: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let result = match self.traffic.run_until_cancelled(work).await {
            // What broke because all was ended is not to be blamed on the server.
            Some(result) => result.map_err(|error| self.open().err().unwrap_or(error)),
            None => Err(self.open().err().unwrap_or(DialError::Cut)),
        };
        self.outcome(target, &result);
        result
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        self.kept().refusals.clone()
    }

    pub(super) fn last_error(&self, target: &Target) -> Option<DialError> {
        self.kept().errors.get(&key(target)).map(|(_, error)| error.clone())
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, target: &Target, address: IpAddr, why: &'static str) {
        let refusal = Refusal {
            host: target.to_string(),
            address,
            why,
        };
        let mut kept = self.kept();
        if kept.refusals.len() < MAX_REFUSALS && !kept.refusals.contains(&refusal) {
            kept.refusals.push(refusal);
        }
    }

    /// Remembers how it went with a target, until the next time.
    fn outcome<T>(&self, target: &Target, result: &Result<T, DialError>) {
        let mut kept = self.kept();
        let Err(error) = result else {
            kept.errors.remove(&key(target));
            return;
        };
        if matches!(error, DialError::Refused { .. }) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        kept.turn += 1;
        let (turn, key) = (kept.turn, key(target));
        if kept.errors.len() >= MAX_ERRORS && !kept.errors.contains_key(&key) {
            kept.forget_oldest();
        }
        kept.errors.insert(key, (turn, error.clone()));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a counter; an error once the budget is used up.
    fn count(&self, counter: &AtomicU64, bytes: usize) -> io::Result<()> {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let Some(budget) = self.budget else { return Ok(()) };
        let spent = self
            .bytes_in
            .load(Ordering::Relaxed)
            .saturating_add(self.bytes_out.load(Ordering::Relaxed));
        if spent <= budget {
            return Ok(());
        }
        self.exhausted.store(true, Ordering::Relaxed);
        self.traffic.cancel();
        Err(io::Error::other("the byte budget is used up"))
    }
}

impl Kept {
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self
            .errors
            .iter()
            .min_by_key(|(_, (turn, _))| *turn)
            .map(|(key, _)| key.clone())
        {
            self.errors.remove(&oldest);
        }
    }
}

fn key(target: &Target) -> (String, u16) {
    (target.host.to_string(), target.port)
}

/// A connection to a server whose bytes are counted, and which fails when the budget is used up.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    ledger: Arc<Ledger>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, ledger: Arc<Ledger>) -> Self {
        Self { stream, ledger }
    }
}

impl Metered<TcpStream> {
    pub(super) fn into_split(self) -> (Metered<OwnedReadHalf>, Metered<OwnedWriteHalf>) {
        let (reader, writer) = self.stream.into_split();
        (
            Metered::new(reader, Arc::clone(&self.ledger)),
            Metered::new(writer, self.ledger),
        )
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        Poll::Ready(self.ledger.count(&self.ledger.bytes_in, read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        Poll::Ready(self.ledger.count(&self.ledger.bytes_out, written).map(|()| written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        Poll::Ready(self.ledger.count(&self.ledger.bytes_out, written).map(|()| written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text, None).unwrap()
    }

    #[test]
    fn refusals_are_kept_once_and_not_for_ever() {
        let ledger = Ledger::new(None);
        for port in 1..=1000 {
            for _ in 0..2 {
                ledger.refuse(
                    &target(&format!("a.test:{port}")),
                    IpAddr::from([10, 0, 0, 1]),
                    "a private address",
                );
            }
        }
        let refusals = ledger.refusals();
        assert_eq!(refusals.len(), MAX_REFUSALS);
        assert_eq!(refusals[1].host, "a.test:2");
    }

    #[test]
    fn the_last_error_of_a_target_is_known_until_it_is_reached() {
        let ledger = Ledger::new(None);
        let a = target("a.test:1");
        ledger.outcome(&a, &Err::<(), _>(DialError::Budget));
        ledger.outcome(&a, &Err::<(), _>(DialError::Cut));
        assert_eq!(ledger.last_error(&a), Some(DialError::Cut));
        ledger.outcome(&a, &Ok(()));
        assert_eq!(ledger.last_error(&a), None);
    }

    #[test]
    fn the_oldest_error_makes_room() {
        let ledger = Ledger::new(None);
        let targets: Vec<_> = (0..=MAX_ERRORS).map(|n| target(&format!("h{n}.test:1"))).collect();
        for target in &targets {
            ledger.outcome(target, &Err::<(), _>(DialError::Cut));
        }
        assert_eq!(ledger.last_error(&targets[0]), None);
        assert_eq!(ledger.last_error(&targets[1]), Some(DialError::Cut));
        assert_eq!(ledger.last_error(&targets[MAX_ERRORS]), Some(DialError::Cut));
        assert_eq!(ledger.kept().errors.len(), MAX_ERRORS);
    }
}
