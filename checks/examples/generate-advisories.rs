//! Makes the advisories that are part of the program from a repository of retire.js.
//!
//! `cargo run -p phantom-checks --example generate-advisories -- IN OUT DATE`, where DATE is the day on which IN was
//! fetched. The same input gives the same output, byte for byte: one library a line.

use std::process::ExitCode;

use phantom_checks::vulnerable_library::convert::from_retire;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, date] = arguments.as_slice() else {
        return fail("usage: generate-advisories IN OUT YYYY-MM-DD");
    };
    let converted = match std::fs::read_to_string(input) {
        Ok(json) => match from_retire(&json, date) {
            Ok(converted) => converted,
            Err(error) => return fail(&format!("{input}: {error}")),
        },
        Err(error) => return fail(&format!("{input}: {error}")),
    };
    let text = match converted.advisories.to_lines() {
        Ok(text) => text,
        Err(error) => return fail(&error.to_string()),
    };
    if let Err(error) = std::fs::write(output, &text) {
        return fail(&format!("{output}: {error}"));
    }
    let set = &converted.advisories;
    let advisories: usize = set.components.iter().map(|component| component.advisories.len()).sum();
    let patterns: usize = set.components.iter().map(|component| component.text.len()).sum();
    eprintln_all(&converted.dropped);
    eprintln_all(&[format!(
        "{} libraries with {advisories} advisories and {patterns} text patterns; {} patterns dropped; {} libraries without advisories left out",
        set.components.len(),
        converted.dropped.len(),
        converted.without_advisories.len(),
    )]);
    ExitCode::SUCCESS
}

fn fail(message: &str) -> ExitCode {
    eprintln_all(&[message.to_owned()]);
    ExitCode::from(2)
}

#[allow(clippy::print_stderr, reason = "a command talks to the person who started it")]
fn eprintln_all(lines: &[String]) {
    for line in lines {
        eprintln!("{line}");
    }
}
