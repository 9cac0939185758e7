//! Ctrl-C: once to stop and save, twice to stop at once.

use console::Term;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;

/// A token that Ctrl-C or a request to terminate cancels. A second one ends the process where it stands: browsers end
/// with it, and everything recorded so far is safe.
pub fn token() -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for time in 0.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if time > 0 {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            stop.cancel();
            let _ = Term::stderr().write_line("Stopping; what was found is saved. Once more stops at once.");
        }
    });
    token
}
