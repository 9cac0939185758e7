//! The rules of a crawl, pure: which URLs are one page, which belong to the site, how fast to go.

mod alike;
mod budget;
mod destructive;
mod explore;
mod frontier;
mod graphql;
mod guard;
mod handler;
mod headers;
mod hints;
mod links;
mod politeness;
pub mod reached;
mod robots;
mod secret;
mod sitemap;
mod sketch;
mod template;
pub mod unchanged;
mod url;

pub use alike::{Alike, Room, UsedUp};
pub use budget::{Limit, ROBOTS, is_cut_off_reason, is_left_out_reason, is_limit_reason, limit_reached};
pub use destructive::{looks_destructive, looks_grave, reads_destructive};
pub use explore::{Candidate, Experience, Explorer, Next, Outcome, hash_of};
pub use frontier::{
    Completion, Lease, LeaseRequest, NewPage, PageKey, PageOutcome, PageRow, PageState, SeenHost, Turn,
};
pub use guard::{Asked, AskedBody, Guard, Stopped, is_safe};
pub use handler::HandlerHints;
pub use headers::speculation_rules;
pub use hints::{manifest_hints, script_hints, source_map_hints, source_map_of, speculation_hints, text_hints};
pub use links::{Found, LinkRules, MOST_LINKS, NotFollowed};
pub use politeness::{LONGEST_CRAWL_DELAY, LONGEST_TURN, LONGEST_WAIT, pace, wait_after};
pub use robots::{AGENT, LONGEST_ROBOTS, Robots, RobotsAnswer, RobotsBook};
pub use secret::{REDACTED, is_secret, is_web_token, without_session_segments};
pub use sitemap::{LONGEST_SITEMAP, MOST_ENTRIES, Sitemap};
pub use sketch::{hash, likeness, sketch};
pub use template::Template;
pub use unchanged::{PageMark, PastLook};
pub use url::{LONGEST_URL, NotAPage, normal_escapes, page_key};
