//! A microsite to scan: what `phantom demo` shows, and what the tests use as the outside world.
//!
//! [`Microsite`] serves any [`Content`] on `.test` names over real HTTPS and HTTP on loopback. The content of the demo
//! is part of the binary: `tests/site/`, its [`Manifest`] of planted flaws, and its site file.

mod bench_site;
mod certs;
mod content;
mod deploys;
mod files;
mod log;
mod manifest;
mod rules;
mod server;

pub use bench_site::BenchSite;
pub use content::{Ask, Body, Content, Reply, Scheme, Tls};
pub use deploys::Deployed;
pub use files::Files;
pub use log::{Log, LogEntry};
pub use manifest::{Comparison, Manifest, ManifestError, Pages, Planted, compare};
pub use server::Microsite;

/// The site file of the demo, in the shape of any other under `sitemaps/`.
pub const SITE_FILE: &str = include_str!("../../sitemaps/demo.toml");

/// Why a microsite could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No certificate could be made.
    #[error("cannot make a certificate for {name}: {source}")]
    Certificate {
        /// Whom it was for.
        name: String,
        /// What the library says.
        source: rcgen::Error,
    },
    /// The TLS library refused the key or the protocol versions.
    #[error("cannot set up TLS for the microsite: {0}")]
    Tls(#[from] rustls::Error),
    /// No loopback port could be had.
    #[error("cannot listen on a loopback port: {0}; is 127.0.0.1 up, and are there ports left?")]
    Listen(std::io::Error),
    /// The rules beside the content are not valid.
    #[error("{file}: {source}")]
    Rules {
        /// The file's name.
        file: String,
        /// Line, column and what is wrong there.
        source: Box<toml::de::Error>,
    },
    /// The folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The folder or file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests;
