//! Pictures of flaws: an element and a little around it, text around it masked, what visitors typed replaced.
//!
//! They are taken after the page was captured, while it is still open. From then until the page is left its scripts
//! sleep, so that none of them sees what the mask changes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chromiumoxide::cdp::browser_protocol::{emulation, page};
use chromiumoxide::cdp::js_protocol::runtime;
use serde::Deserialize;

use super::connection::CdpError;
use super::events::{Evaluated, Nothing, ShotAnswer, WorldAnswer};
use super::tab::{PageRequest, Tab};
use super::{json, redact};

const MASK: &str = include_str!("picture.js");
/// A larger picture is not kept, in bytes.
const MOST_BYTES: usize = 600 << 10;
/// A picture is not larger than this, in pixels.
const MOST_PIXELS: f64 = 1_280.0;

/// What a picture is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// What finds the element in the main frame; `None` for the window, of which all text is masked.
    pub selector: Option<String>,
    /// The document in which it was seen. If another one is there by now, no picture is taken.
    pub document: String,
}

/// A picture of a [`Spot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The file.
    pub png: Vec<u8>,
}

/// Where the page says that the element stands.
#[derive(Deserialize)]
struct Place {
    url: String,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    beyond: bool,
}

impl Place {
    fn clip(&self) -> Option<page::Viewport> {
        let place = [self.x, self.y]
            .iter()
            .all(|at| at.is_finite() && (0.0..1e6).contains(at));
        let size = [self.width, self.height]
            .iter()
            .all(|size| (1.0..=MOST_PIXELS).contains(size));
        (place && size).then_some(page::Viewport {
            x: self.x,
            y: self.y,
            width: self.width,
            height: self.height,
            scale: 1.0,
        })
    }
}

impl Tab {
    /// Pictures of what stands on the page that was visited last, `None` for what cannot be shown; then leaves the page.
    /// An error means that the tab is not to be used again.
    pub async fn pictures(&self, request: &PageRequest, spots: &[Spot]) -> Result<Vec<Option<Shot>>, CdpError> {
        let patience = super::CALL;
        let sleep = emulation::SetScriptExecutionDisabledParams::new;
        self.session.call::<Nothing>(sleep(true), patience).await?;
        self.session.call::<Nothing>(self.view.whole(), patience).await?;
        let mut ask = page::CreateIsolatedWorldParams::new(self.main_frame());
        ask.world_name = Some("picture".to_owned());
        let world: WorldAnswer = self.session.call(ask, patience).await?;
        let mut pictures = Vec::new();
        for spot in spots {
            pictures.push(self.picture(world.execution_context_id, spot).await?);
        }
        self.leave(request).await?;
        self.session.call::<Nothing>(self.view.small(), patience).await?;
        self.session.call::<Nothing>(sleep(false), patience).await?;
        Ok(pictures)
    }

    async fn picture(&self, world: i64, spot: &Spot) -> Result<Option<Shot>, CdpError> {
        let selector = serde_json::Value::from(spot.selector.clone());
        let token = format!("p{:016x}", rand::random::<u64>());
        let mut ask = runtime::EvaluateParams::new(format!("{}({selector}, \"{token}\")", MASK.trim_end()));
        ask.context_id = Some(runtime::ExecutionContextId::new(world));
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        ask.timeout = Some(runtime::TimeDelta::new(2_000.0));
        let answer: Evaluated = self.session.call(ask, super::CALL).await?;
        let text = answer.result.value.filter(|_| answer.exception_details.is_none());
        let place: Option<Place> = text
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .and_then(|text| json::read(text).ok());
        let Some(place) = place.filter(|place| redact::url(&place.url) == spot.document) else {
            return Ok(None);
        };
        let Some(clip) = place.clip() else { return Ok(None) };
        let shoot = page::CaptureScreenshotParams {
            format: Some(page::CaptureScreenshotFormat::Png),
            clip: Some(clip),
            capture_beyond_viewport: Some(place.beyond),
            ..page::CaptureScreenshotParams::default()
        };
        let answer: ShotAnswer = self.session.call(shoot, super::CALL).await?;
        Ok(BASE64_STANDARD.decode(answer.data).ok().and_then(Shot::of))
    }
}

impl Shot {
    /// A PNG file that is not too large.
    fn of(png: Vec<u8>) -> Option<Self> {
        let head = png.get(..24).filter(|head| head.starts_with(b"\x89PNG\r\n\x1a\n"))?;
        let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let (width, height) = (number(16)?, number(20)?);
        (png.len() <= MOST_BYTES && width > 0 && height > 0).then_some(Self { width, height, png })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_of_that_kind_is_none() {
        let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x07";
        let shot = Shot::of(head.to_vec()).unwrap();
        assert_eq!((shot.width, shot.height), (256, 7));
        assert!(Shot::of(head[..20].to_vec()).is_none());
        assert!(Shot::of(b"GIF89a, and a little more than that".to_vec()).is_none());
        assert!(Shot::of([head.as_slice(), &vec![0; MOST_BYTES]].concat()).is_none());
        for (x, width) in [
            (f64::NAN, 10.0),
            (-1.0, 10.0),
            (0.0, 0.0),
            (0.0, 1e9),
            (1e9, 10.0),
            (0.0, f64::INFINITY),
        ] {
            let place = Place {
                url: String::new(),
                x,
                y: 0.0,
                width,
                height: 10.0,
                beyond: false,
            };
            assert!(place.clip().is_none(), "{x} {width}");
        }
    }
}
