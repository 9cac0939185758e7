//! Frames and workers of a page, as the browser's events tell of them.

use std::sync::Arc;
use std::time::Instant;

use phantom_checks::evidence::LinkSource;

use super::{FrameRecord, MAX_FRAMES, Navigation, Reaction, Recorder};
use crate::browser::events::{
    AttachedToTarget, ContextCreated, ContextDestroyed, DetachedFromTarget, FrameAttached, FrameData, FrameDetached,
};

impl Recorder {
    pub(super) fn frame_navigated(&mut self, frame: FrameData, session: &Arc<str>, now: Instant) {
        self.last_activity = now;
        if frame.id == self.main_frame && *session == self.main_session {
            if self.navigation == Navigation::Sent {
                self.navigation = Navigation::Committed;
                self.loader.clone_from(&frame.loader_id);
                self.issues.clear();
                self.issue_list.clear();
            }
            if self.walking {
                self.loader.clone_from(&frame.loader_id);
            }
            self.again = None;
            self.replaced |= std::mem::take(&mut self.submitted);
            self.dom_ready = false;
            self.loaded = false;
            self.committed_at = Some(now);
            let kept = self.frames.remove(&frame.id);
            self.frames.clear();
            self.frames.insert(
                frame.id,
                FrameRecord {
                    parent: None,
                    url: frame.url,
                    origin: frame.security_origin,
                    session: Arc::clone(session),
                    context: kept.and_then(|kept| kept.context),
                    loader: frame.loader_id,
                },
            );
            return;
        }
        let Some(record) = self.frame_mut(frame.id) else { return };
        if record.parent.is_none() {
            record.parent = frame.parent_id;
        }
        record.url = frame.url;
        record.origin = frame.security_origin;
        record.loader = frame.loader_id;
        record.session = Arc::clone(session);
    }

    /// The record of a frame, made if there is none yet and room for it.
    pub(super) fn frame_mut(&mut self, id: String) -> Option<&mut FrameRecord> {
        if self.frames.len() >= MAX_FRAMES && !self.frames.contains_key(&id) {
            self.dropped += 1;
            return None;
        }
        Some(self.frames.entry(id).or_default())
    }

    pub(super) fn frame_attached(&mut self, attached: FrameAttached, session: &Arc<str>) {
        let Some(record) = self.frame_mut(attached.frame_id) else {
            return;
        };
        record.parent = attached.parent_frame_id;
        record.session = Arc::clone(session);
    }

    pub(super) fn frame_detached(&mut self, detached: &FrameDetached) {
        // A frame that moves to a process of its own is detached here with "swap" and goes on there.
        if detached.reason != "swap" {
            self.frames.remove(&detached.frame_id);
        }
    }

    pub(super) fn context_created(&mut self, created: ContextCreated, session: &Arc<str>) {
        let context = created.context;
        if !context.aux_data.is_default {
            return;
        }
        let Some(frame) = self.frame_mut(context.aux_data.frame_id) else {
            return;
        };
        frame.session = Arc::clone(session);
        frame.context = Some(context.id);
        if frame.origin.is_empty() {
            frame.origin = context.origin;
        }
    }

    pub(super) fn context_destroyed(&mut self, destroyed: &ContextDestroyed, session: &Arc<str>) {
        for frame in self.frames.values_mut() {
            if frame.session == *session && frame.context == Some(destroyed.execution_context_id) {
                frame.context = None;
            }
        }
    }

    pub(super) fn contexts_cleared(&mut self, session: &Arc<str>) {
        for frame in self.frames.values_mut() {
            if frame.session == *session {
                frame.context = None;
            }
        }
    }

    pub(super) fn attached(&mut self, attached: AttachedToTarget) -> Reaction {
        let worker = match attached.target_info.r#type.as_str() {
            "page" => {
                self.tried(&attached.target_info.url, LinkSource::Popup);
                return Reaction::ClosePopup {
                    target: attached.target_info.target_id,
                };
            }
            kind => kind != "iframe",
        };
        if worker {
            self.workers
                .insert(attached.session_id.clone(), attached.target_info.url);
        } else if let Some(record) = self.frame_mut(attached.target_info.target_id) {
            // The target of a frame in a process of its own has the id of the frame.
            record.session = Arc::from(attached.session_id.as_str());
            record.context = None;
        }
        Reaction::SetUpChild {
            session: attached.session_id,
            worker,
        }
    }

    /// A frame or a worker was not let run. It is nobody's loss if it has ended since.
    pub fn unheard(&mut self, session: &str) {
        let is_there =
            self.workers.contains_key(session) || self.frames.values().any(|frame| &*frame.session == session);
        self.calls.unheard += u64::from(is_there);
    }

    pub(super) fn detached(&mut self, detached: &DetachedFromTarget) {
        self.workers.remove(&detached.session_id);
        self.frames.retain(|_, frame| *frame.session != *detached.session_id);
    }

    pub(super) fn frame_of_session(&self, session: &Arc<str>) -> Option<String> {
        if *session == self.main_session {
            return Some(self.main_frame.clone());
        }
        self.frames
            .iter()
            .find(|(_, frame)| {
                frame.session == *session
                    && frame
                        .parent
                        .as_ref()
                        .and_then(|parent| self.frames.get(parent))
                        .is_none_or(|parent| parent.session != *session)
            })
            .map(|(id, _)| id.clone())
    }

    /// Whether a frame is one of the document that was committed. The main frame is that of the document before, too.
    pub(super) fn is_child(&self, frame: &str) -> bool {
        self.committed() && frame != self.main_frame && self.frames.contains_key(frame)
    }
}
