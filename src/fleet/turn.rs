//! One job, done.

use super::{Came, Job};
use crate::scan::{ScanError, Scanner, Start};

pub(super) async fn take(scanner: &Scanner, job: Job) -> Result<Came, ScanError> {
    match job {
        Job::Begin(site, planned) => {
            let ended = scanner.scan_as_worker(Start::Nightly { site, planned }).await?;
            Ok(Came::Ended(Box::new(ended)))
        }
        Job::GoOn(scan, _) => {
            let ended = scanner.scan_as_worker(Start::Resume(scan)).await?;
            Ok(Came::Ended(Box::new(ended)))
        }
        Job::Help(scan, _) => Ok(Came::Helped(Box::pin(scanner.help(&scan)).await?)),
    }
}
