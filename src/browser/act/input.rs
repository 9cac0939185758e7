//! Real input: mouse and keyboard, as the browser itself would get them.

use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::input::{
    DispatchKeyEventParams, DispatchKeyEventType, DispatchMouseEventParams, DispatchMouseEventType, InsertTextParams,
    MouseButton,
};
use futures::future::join_all;
use phantom_checks::evidence::StepKind;

use super::Act;
use crate::browser::events::Nothing;

/// How long a long press lasts.
const LONG_PRESS: Duration = Duration::from_millis(1_050);

/// A point of the main frame, in CSS pixels.
#[derive(Debug, Clone, Copy)]
pub(in crate::browser) struct Point {
    pub x: f64,
    pub y: f64,
}

impl Act<'_> {
    /// Does with the mouse what an action of this kind asks for. False if the browser did not take it in time.
    pub(super) async fn mouse(&mut self, kind: StepKind, at: Point) -> bool {
        use DispatchMouseEventType::{MouseMoved, MousePressed, MouseReleased};
        self.paint_whole().await;
        let left = || Some(MouseButton::Left);
        let moved = event(MouseMoved, at, None, 0);
        let events = match kind {
            StepKind::Hover => vec![moved],
            StepKind::Leave => {
                // Two moves at once would be one.
                let there = self.send(vec![moved]).await;
                return self
                    .send(vec![event(MouseMoved, Point { x: 1.0, y: 0.0 }, None, 0)])
                    .await
                    && there;
            }
            StepKind::DoubleClick => vec![
                moved,
                event(MousePressed, at, left(), 1),
                event(MouseReleased, at, left(), 1),
                event(MousePressed, at, left(), 2),
                event(MouseReleased, at, left(), 2),
            ],
            StepKind::ContextMenu => vec![
                moved,
                event(MousePressed, at, Some(MouseButton::Right), 1),
                event(MouseReleased, at, Some(MouseButton::Right), 1),
            ],
            StepKind::LongPress => {
                let pressed = self.send(vec![moved, event(MousePressed, at, left(), 1)]).await;
                tokio::time::sleep(LONG_PRESS).await;
                return self.send(vec![event(MouseReleased, at, left(), 1)]).await && pressed;
            }
            StepKind::Slide => {
                let aside = |by: f64| {
                    let mut moved = event(
                        MouseMoved,
                        Point {
                            x: at.x + by,
                            y: at.y + by / 8.0,
                        },
                        left(),
                        0,
                    );
                    moved.buttons = Some(1);
                    moved
                };
                let end = Point {
                    x: at.x + 160.0,
                    y: at.y + 20.0,
                };
                vec![
                    moved,
                    event(MousePressed, at, left(), 1),
                    aside(40.0),
                    aside(100.0),
                    aside(160.0),
                    event(MouseReleased, end, left(), 1),
                ]
            }
            _ => vec![
                moved,
                event(MousePressed, at, left(), 1),
                event(MouseReleased, at, left(), 1),
            ],
        };
        self.send(events).await
    }

    async fn send(&self, events: Vec<DispatchMouseEventParams>) -> bool {
        let session = self.session(self.tab.session().id());
        let patience = self.patience();
        let sent = events.into_iter().map(|event| {
            let session = session.clone();
            async move { session.call::<Nothing>(event, patience).await.is_ok() }
        });
        join_all(sent).await.into_iter().all(|taken| taken)
    }

    /// Types into whatever has the focus.
    pub(super) async fn type_text(&self, text: &str) -> bool {
        let session = self.session(self.tab.session().id());
        let insert = InsertTextParams::new(text.to_owned());
        session.call::<Nothing>(insert, self.patience()).await.is_ok()
    }

    /// Presses a key, or all arrows, for whatever has the focus.
    pub(super) async fn press(&self, value: &str) -> bool {
        let names: &[&str] = match value {
            "Arrows" => &["ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"],
            other => &[other],
        };
        let session = self.session(self.tab.session().id());
        let patience = self.patience();
        let sent = names.iter().flat_map(|name| key(name)).map(|event| {
            let session = session.clone();
            async move { session.call::<Nothing>(event, patience).await.is_ok() }
        });
        join_all(sent).await.into_iter().all(|taken| taken)
    }
}

/// What is done with the mouse, where that finds the element.
pub(super) fn is_mouse(kind: StepKind) -> bool {
    matches!(
        kind,
        StepKind::Click
            | StepKind::DoubleClick
            | StepKind::ContextMenu
            | StepKind::Hover
            | StepKind::Leave
            | StepKind::LongPress
            | StepKind::Slide
            | StepKind::Submit
    )
}

/// One event of the mouse.
pub(in crate::browser) fn event(
    kind: DispatchMouseEventType,
    at: Point,
    button: Option<MouseButton>,
    clicks: i64,
) -> DispatchMouseEventParams {
    let mut event = DispatchMouseEventParams::new(kind, at.x, at.y);
    event.button = button;
    event.click_count = Some(clicks);
    event
}

/// A key going down and up.
pub(in crate::browser) fn key(name: &str) -> [DispatchKeyEventParams; 2] {
    let (key, code, number, text) = match name {
        "Enter" => ("Enter".to_owned(), "Enter".to_owned(), 13, Some("\r".to_owned())),
        "Space" => (" ".to_owned(), "Space".to_owned(), 32, Some(" ".to_owned())),
        "Tab" => (name.to_owned(), name.to_owned(), 9, None),
        "Escape" => (name.to_owned(), name.to_owned(), 27, None),
        "ArrowLeft" => (name.to_owned(), name.to_owned(), 37, None),
        "ArrowUp" => (name.to_owned(), name.to_owned(), 38, None),
        "ArrowRight" => (name.to_owned(), name.to_owned(), 39, None),
        "ArrowDown" => (name.to_owned(), name.to_owned(), 40, None),
        other => {
            let one = other.chars().count() == 1;
            let number = other
                .chars()
                .next()
                .map_or(0, |c| i64::from(u32::from(c.to_ascii_uppercase())));
            let letter = one && other.chars().all(|c| c.is_ascii_alphabetic());
            let code = if letter {
                format!("Key{}", other.to_ascii_uppercase())
            } else {
                other.to_owned()
            };
            (
                other.to_owned(),
                code,
                if one { number } else { 0 },
                one.then(|| other.to_owned()),
            )
        }
    };
    let event = |kind, text: Option<String>| {
        let mut event = DispatchKeyEventParams::new(kind);
        event.key = Some(key.clone());
        event.code = Some(code.clone());
        event.windows_virtual_key_code = Some(number);
        event.text = text;
        event
    };
    let down = if text.is_some() {
        DispatchKeyEventType::KeyDown
    } else {
        DispatchKeyEventType::RawKeyDown
    };
    [event(down, text), event(DispatchKeyEventType::KeyUp, None)]
}
