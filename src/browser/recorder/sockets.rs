//! The web sockets of a page: requests that the network tells of by events of their own.

use std::sync::Arc;
use std::time::Instant;

use phantom_checks::evidence::{Failure, Request, ResourceKind};

use super::words::{bounded, initiator};
use super::{Navigation, Recorder};
use crate::browser::events::{WebSocketClosed, WebSocketCreated, WebSocketHandshake};

impl Recorder {
    pub(super) fn web_socket(&mut self, created: WebSocketCreated, session: &Arc<str>, now: Instant) {
        if self.navigation == Navigation::Before {
            return;
        }
        self.last_activity = now;
        let worker = self.workers.get(&**session).cloned();
        let frame = self.frame_of_session(session);
        self.calls
            .socket(&created.url, Some(&created.request_id), frame, worker);
        let request = Request {
            id: created.request_id,
            url: bounded(&created.url),
            method: "GET".to_owned(),
            kind: ResourceKind::WebSocket,
            frame: self.frame_of_session(session),
            worker: self.workers.get(&**session).cloned(),
            initiator: initiator(&created.initiator),
            ..Request::default()
        };
        self.add(request, session);
    }

    pub(super) fn handshake(&mut self, handshake: &WebSocketHandshake) {
        if let Some(request) = self.request_mut(&handshake.request_id) {
            request.status = Some(handshake.response.status);
        }
    }

    pub(super) fn web_socket_closed(&mut self, closed: &WebSocketClosed) {
        if let Some(request) = self.request_mut(&closed.request_id)
            && request.status.is_none()
        {
            request.failure = Some(Failure {
                error: "closed before it was open".to_owned(),
                blocked: None,
                canceled: false,
            });
        }
    }
}
