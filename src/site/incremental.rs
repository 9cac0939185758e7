//! When a night may take pages as seen that have not changed: `[incremental]` in a site's file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::kinds;
use crate::config::raw::Section;

const DAY: Duration = Duration::from_hours(24);

/// When a nightly scan may take a page as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// Every page is looked at in full at least so often.
    pub full_look: Duration,
    /// Pages that load scripts of other sites, at least so often.
    pub third_party: Duration,
    /// Sites with a login, too.
    #[serde(default)]
    pub logged_in: bool,
}

impl Default for Incremental {
    fn default() -> Self {
        Self {
            full_look: DAY * 7,
            third_party: DAY * 3,
            logged_in: false,
        }
    }
}

pub(super) fn read(mut section: Section<'_>) -> Incremental {
    let default = Incremental::default();
    let age = |most: u32| kinds::duration(DAY..=DAY * most);
    let incremental = Incremental {
        full_look: section.get("full_look", age(90)).unwrap_or(default.full_look),
        third_party: section.get("third_party", age(90)).unwrap_or(default.third_party),
        logged_in: section.get("logged_in", kinds::flag).unwrap_or(default.logged_in),
    };
    section.finish(&[]);
    incremental
}
