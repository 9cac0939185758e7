use serde::Serialize;
use serde_json::Value;

/// Exchanges that are remembered.
pub(super) const CAPACITY: usize = 10_000;

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// When it came, in microseconds since the sandbox began, whatever the sandbox's own clock says.
    pub came_us: u64,
    /// The method.
    pub method: String,
    /// The path, without query, as it was sent.
    pub path: String,
    /// The query, as it was sent.
    pub query: String,
    /// The body, if it was JSON.
    pub body: Option<Value>,
    /// The status of the answer; `None` if the connection was closed without one.
    pub status: Option<u16>,
    /// The answer, if it was JSON.
    pub response: Option<Value>,
}
