//! How a person sees that a form or a call has no token.

use super::{LOGIN, UNVERIFIED_TOKEN};
use crate::look::Seen;

pub(super) fn look(seen: &Seen<'_>) -> String {
    let cookie = match seen.fact("session cookie") {
        "" => String::new(),
        // What is doubtful stands in the notes.
        _ if !seen.fact("note").is_empty() => String::new(),
        cookie => format!(" The cookie {cookie} goes along with it."),
    };
    match seen.part("kind") {
        "call" | "login-call" => {
            let by = match seen.fact("made by") {
                "" => String::new(),
                script => format!(" by {script}"),
            };
            format!(
                "Do so once more with the network panel of the developer tools (F12) open, and look for the POST to {}, \
                 made{by}: neither its headers ({}) nor its fields ({}) hold a token.{cookie}",
                seen.fact("call"),
                or_none(seen.fact("headers")),
                or_none(seen.fact("fields"))
            )
        }
        kind => {
            let form = format!(
                "the form that is sent to {} ({})",
                seen.fact("action"),
                seen.fact("selector")
            );
            let token = seen.fact("token");
            match kind {
                UNVERIFIED_TOKEN => {
                    format!("Change the value of {token} in {form} and send it: the server takes it.{cookie}")
                }
                "static-token" => format!(
                    "Compare {form} with the same in a private window: the value of {token} is the same.{cookie}"
                ),
                LOGIN => format!(
                    "Look at {form}: none of its hidden fields ({}) looks like a token, so another site can log its \
                     visitors in to an account of its own.",
                    or_none(seen.fact("hidden fields"))
                ),
                _ => format!(
                    "Look at {form}: none of its hidden fields ({}) looks like a token.{cookie}",
                    or_none(seen.fact("hidden fields"))
                ),
            }
        }
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
