//! A picture of a flaw, as it is kept of a finding.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Fingerprint;
use crate::scan::ScanId;

/// A picture of what a finding is about: cropped to it, text around it masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The scan that took it.
    pub scan: ScanId,
    /// When.
    pub taken: Timestamp,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The file.
    pub png: Vec<u8>,
}

/// How the names of such files begin, whatever they show.
pub const PICTURE_PREFIX: &str = "phantom-flaw-";

impl Picture {
    /// The name of the file, with a hash of what is in it.
    pub fn name(&self) -> String {
        format!("{PICTURE_PREFIX}{}.png", hex::encode(&Sha256::digest(&self.png)[..8]))
    }
}
