//! Files that are attached to tickets: the sheet of pages and the picture.

use super::outbox::ActionState;
use super::perform::{Done, Recorded};
use super::reconcile::{Case, Reconciler, Trouble};
use super::sheet;
use crate::jira::{TicketView, Upload};
use crate::triage::Picture;

/// Pages that are listed at most, in the attached file too.
pub(super) const MAX_LISTED: u32 = 10_000;

impl Reconciler<'_> {
    /// All pages of a finding.
    pub(super) async fn sheet(&self, case: &Case) -> Result<Upload, Trouble> {
        let finding = &case.finding;
        let (pages, _) = self
            .store
            .finding_pages(&finding.last_scan, &finding.fingerprint, MAX_LISTED)
            .await?;
        Ok(sheet::of_pages(&pages))
    }

    /// Attaches once: a file whose name begins so is looked for before it is sent, and waited for if it may still be on
    /// its way.
    pub(super) async fn attach(
        &self,
        case: &Case,
        view: &TicketView,
        record: Recorded,
        upload: Upload,
        name: &str,
    ) -> Result<Done, Trouble> {
        let now = self.clock.now();
        self.fence.check().await?;
        let issue = self.jira.issue(&view.id).await?;
        if issue.fields.attachments.iter().any(|one| one.starts_with(name)) {
            self.record(&record, ActionState::Sent, None).await?;
            return Ok(Done::Changed);
        }
        let before = case.recorded(&record.key);
        if before.is_some_and(|action| self.may_still_show(action, now)) {
            return Err(Trouble::Settling);
        }
        let permit = self.ready(&record).await?;
        let sent = self.jira.attach(permit, &view.id, &upload).await;
        self.settle_extra(&record, sent).await
    }
}

pub(super) fn upload(picture: Picture) -> Upload {
    Upload {
        name: picture.name(),
        mime: "image/png".to_owned(),
        bytes: picture.png,
    }
}
