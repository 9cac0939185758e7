//! How large a page is laid out, and how large it is painted.
//!
//! Nobody looks at the pages of a crawl, yet the browser paints them, sixty times a second. Painting costs about a
//! tenth of a page, and in proportion to its area. So pages are laid out at their full size, which is all that they can
//! measure, and painted as small pictures of themselves. Pages cannot tell: their sizes, frames, observers and
//! animations are as ever.

use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;

use crate::site::Device;

/// Width and height of a page's viewport, in CSS pixels.
pub(super) const VIEWPORT: (u32, u32) = (1280, 800);
/// The same of a telephone.
const TELEPHONE: (u32, u32) = (400, 800);
/// A page is painted at this part of its width and of its height.
const SMALL: f64 = 0.1;

/// What the pages of a tab are shown on.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    width: u32,
    height: u32,
    scale: f64,
    mobile: bool,
}

impl View {
    /// The view of a device.
    pub fn of(device: &Device) -> Self {
        let (width, height) = device
            .viewport
            .unwrap_or(if device.touch { TELEPHONE } else { VIEWPORT });
        Self {
            width,
            height,
            scale: f64::from(device.scale.unwrap_or(100)) / 100.0,
            mobile: device.touch,
        }
    }

    /// The page is painted small. Positions of input events would have to be scaled down too: whoever sends some makes
    /// it [`View::whole`] before.
    pub fn small(self) -> SetDeviceMetricsOverrideParams {
        SetDeviceMetricsOverrideParams {
            scale: Some(SMALL),
            ..self.whole()
        }
    }

    /// The page is painted at its own size.
    pub fn whole(self) -> SetDeviceMetricsOverrideParams {
        let (width, height) = (i64::from(self.width), i64::from(self.height));
        SetDeviceMetricsOverrideParams::new(width, height, self.scale, self.mobile)
    }

    /// As [`View::whole`], but as narrow as a telephone.
    pub fn narrow(self) -> SetDeviceMetricsOverrideParams {
        SetDeviceMetricsOverrideParams {
            width: i64::from(TELEPHONE.0.min(self.width)),
            ..self.whole()
        }
    }
}
