//! The command line: what a person types becomes a call into the library, and what comes of it lines on a terminal.

pub mod paint;
pub mod progress;
pub mod summary;
