//! One run over one site: leases pages, renders them, runs the checks, stores what came of it.
//!
//! A [`Scanner`] composes the other modules and holds no rules of its own. All that must survive it is in the store:
//! a scan whose process was killed goes on in another one, page by page.

mod account;
mod advisories;
mod alike;
mod ask;
mod close;
mod event;
mod fresh;
mod held;
mod help;
mod incremental;
mod inspect;
mod judge;
mod login;
mod organisation;
mod owner;
mod pictures;
mod proof;
mod reached;
mod record;
mod replay;
mod retire;
mod run;
mod scanner;
mod seeds;
mod sessions;
mod shared;
mod standing;
mod turns;
mod verify;
mod worker;

pub use account::{LOGIN_TAKES, LoginEnd, LoginTurn, MOST_LOGIN_FAILURES};
pub use advisories::{
    AdvisoriesInUse, AdvisorySource, OLD_DAYS as ADVISORIES_OLD_DAYS, SOURCE as ADVISORIES_SOURCE, StoredAdvisories,
    UpdateError, in_use as advisories_in_use, update as update_advisories,
};
pub use ask::{AskError, Asked, Learnt};
pub use event::ScanEvent;
pub use help::Helped;
pub use login::LoginSecretError;
pub use proof::ReplayTurn;
pub use record::{ScanClose, ScanCounts, ScanId, ScanRecord, ScanState, Trigger};
pub use replay::{ReplayError, Replayed, ReplayedCheck, ReplayedFinding, replay};
pub use retire::retire;
pub use run::MOST_REMARKS;
pub use scanner::{Ended, Listener, Now, ScanError, Scanner, Start};
pub use shared::{AuditEntry, BEAT, Beat, PAGES_KEPT, Pulse, SCAN_KEPT, ScanLine, ScanOwner, WhichScans, Wish};
pub use standing::Standing;
pub use verify::{PageVerdict, Presence, Verified, VerifyError};
