//! Ctrl-C: once to stop and save, twice to stop at once. The end of the terminal counts as one.

use std::fs;
use std::future::pending;

use console::Term;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;

/// A token that Ctrl-C, a request to terminate or the end of the terminal cancels. A second one ends the process where it
/// stands: browsers end with it, and everything recorded so far is safe.
pub fn token() -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        let mut hangup = if outlives_its_terminal() {
            None
        } else {
            signal(SignalKind::hangup()).ok()
        };
        let gone = async |hangup: &mut Option<Signal>| match hangup {
            Some(hangup) => hangup.recv().await,
            None => pending().await,
        };
        for time in 0.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = gone(&mut hangup) => {}
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

/// Whoever started us wants us to go on without a terminal, as `nohup` does.
fn outlives_its_terminal() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// The first of the ignored signals, in the hexadecimal mask of `/proc/PID/status`.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_under_nohup_is_known() {
        assert!(ignores_hangup(
            "Name:\tphantom\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"
        ));
        assert!(!ignores_hangup(
            "Name:\tphantom\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"
        ));
        assert!(!ignores_hangup(""));
    }
}
