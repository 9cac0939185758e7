//! The one integration binary; a module for each subject.

// Helpers of tests are tests, which clippy does not know.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod bad_input;
mod cases;
mod contracts;
mod csrf;
mod declared;
mod demo;
mod deploys;
mod faults;
mod fleet;
mod full_disk;
mod garden;
mod guard;
mod interrupt;
mod login;
mod marked;
mod nights;
mod pace;
mod pictures;
mod preflight;
mod processes;
mod proof;
mod reached;
mod readme;
mod redaction;
mod remote;
mod sites;
mod support;
mod tamper;
mod traps;
mod unchanged;
mod verify;
mod ways;
mod workers;
