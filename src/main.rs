//! The program `phantom`: see [`phantom_gang::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    phantom_gang::cli::run()
}
