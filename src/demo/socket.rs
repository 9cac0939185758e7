//! Web sockets of a microsite: they are opened and listened to, and answer nothing.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::content::Reply;

/// What a server adds to a client's key (RFC 6455, 1.3).
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A longer frame ends the conversation.
const LONGEST_FRAME: u64 = 1 << 20;

/// Completes the answer that opens a socket, if that is what was asked for.
pub(super) fn opened(reply: Reply, headers: &HeaderMap) -> Option<Reply> {
    let asked = headers.get("upgrade")?.to_str().ok()?;
    let key = headers.get("sec-websocket-key")?.to_str().ok()?;
    let proof = STANDARD.encode(Sha1::digest(format!("{key}{SALT}")));
    asked.eq_ignore_ascii_case("websocket").then(|| {
        reply
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-accept", &proof)
    })
}

/// Tells of each message until the other side ends.
pub(super) async fn listen(mut stream: impl AsyncRead + Unpin, mut tell: impl FnMut()) -> std::io::Result<()> {
    loop {
        let (kind, length) = (stream.read_u8().await? & 0x0f, stream.read_u8().await?);
        let length = match length & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        if kind == 8 || length > LONGEST_FRAME {
            return Ok(());
        }
        let masked = length + 4;
        tokio::io::copy(&mut (&mut stream).take(masked), &mut tokio::io::sink()).await?;
        if kind < 8 {
            tell();
        }
    }
}
