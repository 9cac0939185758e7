//! How large a page is laid out, and how large it is painted.
//!
//! Nobody looks at the pages of a crawl, yet the browser paints them, sixty times a second. Painting costs about a
//! tenth of a page, and in proportion to its area. So pages are laid out at their full size, which is all that they can
//! measure, and painted as small pictures of themselves. Pages cannot tell: their sizes, frames, observers and
//! animations are as ever.

use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;

/// Width and height of a page's viewport, in CSS pixels.
pub(super) const VIEWPORT: (i64, i64) = (1280, 800);
/// The width of a telephone, in CSS pixels.
const NARROW: i64 = 400;
/// A page is painted at this part of its width and of its height.
const SMALL: f64 = 0.1;

/// The page is painted small. Positions of input events would have to be scaled down too: whoever sends some makes it
/// [`whole`] before.
pub(super) fn small() -> SetDeviceMetricsOverrideParams {
    SetDeviceMetricsOverrideParams {
        scale: Some(SMALL),
        ..whole()
    }
}

/// The page is painted at its own size.
pub(super) fn whole() -> SetDeviceMetricsOverrideParams {
    let (width, height) = VIEWPORT;
    SetDeviceMetricsOverrideParams::new(width, height, 1.0, false)
}

/// As [`whole`], but as narrow as a telephone.
pub(super) fn narrow() -> SetDeviceMetricsOverrideParams {
    SetDeviceMetricsOverrideParams {
        width: NARROW,
        ..whole()
    }
}
