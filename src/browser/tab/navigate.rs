//! Around a navigation: what is not let out during it, and what came of it if that is no page.

use std::sync::atomic::Ordering;

use chromiumoxide::cdp::browser_protocol::network;

use super::{Tab, Visit};
use crate::browser::connection::CdpError;
use crate::browser::events::Navigated;

impl Tab {
    /// Lets no request out whose path or query has this word in it, or all again.
    pub(super) async fn hold_word(&self, word: Option<&str>) -> Result<(), CdpError> {
        if self.holds_word.swap(word.is_some(), Ordering::Relaxed) || word.is_some() {
            let patterns = word.map(|word| [format!("*://*:*/*{word}*"), format!("*://*:*/*\\?*{word}*")]);
            let patterns = patterns.into_iter().flatten();
            let held = network::SetBlockedUrLsParams {
                url_patterns: Some(
                    patterns
                        .map(|pattern| network::BlockPattern::new(pattern, true))
                        .collect(),
                ),
            };
            self.call(held).await?;
        }
        Ok(())
    }

    /// What came in the place of a page.
    pub(super) fn not_shown(&self, navigated: &Navigated) -> Option<Visit> {
        let recorder = self.shared.recorder();
        if let Some(to) = &recorder.left_scope {
            return Some(Visit::LeftScope { to: to.clone() });
        }
        if navigated.is_download {
            return Some(Visit::NotAPage {
                what: "it is a download".to_owned(),
            });
        }
        let document = recorder.requests.first();
        if let Some(why) =
            document.and_then(|document| document.headers.iter().find(|header| header.name == "x-phantom-egress"))
        {
            return Some(Visit::Unreachable {
                error: why.value.clone(),
            });
        }
        let error = navigated.error_text.as_deref().filter(|error| !error.is_empty())?;
        if let Some(scheme) = &recorder.led_nowhere {
            return Some(Visit::NotAPage {
                what: format!("redirects to a `{scheme}:` address, which is no page"),
            });
        }
        Some(match document.and_then(|document| document.status) {
            Some(204 | 205) => Visit::NotAPage {
                what: "the server answers without content".to_owned(),
            },
            status if error == "net::ERR_ABORTED" => Visit::BrokenOff { status },
            Some(status) if error == "net::ERR_HTTP_RESPONSE_CODE_FAILURE" => Visit::Unreachable {
                error: format!("status {status} with an empty page"),
            },
            _ => Visit::Unreachable {
                error: error.to_owned(),
            },
        })
    }
}
