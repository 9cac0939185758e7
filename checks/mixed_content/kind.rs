//! The browser's many words for kinds of resources, brought down to a small set that stays.

use crate::evidence::ResourceKind;

/// A kind of resource, as causes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Script,
    Stylesheet,
    Font,
    Image,
    Media,
    Frame,
    Plugin,
    Fetch,
    WebSocket,
    Worker,
    Beacon,
    Prefetch,
    Download,
    Other,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Stylesheet => "stylesheet",
            Self::Font => "font",
            Self::Image => "image",
            Self::Media => "media",
            Self::Frame => "frame",
            Self::Plugin => "plugin",
            Self::Fetch => "fetch",
            Self::WebSocket => "websocket",
            Self::Worker => "worker",
            Self::Beacon => "beacon",
            Self::Prefetch => "prefetch",
            Self::Download => "download",
            Self::Other => "resource",
        }
    }

    /// Passive content cannot change the page around it.
    pub(super) fn is_passive(self) -> bool {
        matches!(self, Self::Image | Self::Media)
    }

    /// From the auditor's word; `None` for forms, which are another check's.
    pub(super) fn of_issue(resource: &str, scheme: &str) -> Option<Self> {
        if matches!(scheme, "ws" | "wss") {
            return Some(Self::WebSocket);
        }
        Some(match resource {
            "Form" => return None,
            "Script" | "Import" | "XSLT" => Self::Script,
            "Stylesheet" => Self::Stylesheet,
            "Font" => Self::Font,
            "Image" | "Favicon" => Self::Image,
            "Audio" | "Video" | "Track" => Self::Media,
            "Frame" => Self::Frame,
            "PluginResource" | "PluginData" => Self::Plugin,
            "Resource" | "XMLHttpRequest" | "EventSource" | "JSON" => Self::Fetch,
            "Worker" | "SharedWorker" | "ServiceWorker" => Self::Worker,
            "Beacon" | "Ping" | "CSPReport" | "AttributionSrc" => Self::Beacon,
            "Prefetch" | "SpeculationRules" => Self::Prefetch,
            "Download" => Self::Download,
            _ => Self::Other,
        })
    }

    /// From the network's word.
    pub(super) fn of_request(kind: ResourceKind) -> Self {
        match kind {
            ResourceKind::Document => Self::Frame,
            ResourceKind::Stylesheet => Self::Stylesheet,
            ResourceKind::Image => Self::Image,
            ResourceKind::Media | ResourceKind::TextTrack => Self::Media,
            ResourceKind::Font => Self::Font,
            ResourceKind::Script => Self::Script,
            ResourceKind::Xhr | ResourceKind::Fetch | ResourceKind::EventSource | ResourceKind::Preflight => {
                Self::Fetch
            }
            ResourceKind::WebSocket => Self::WebSocket,
            ResourceKind::Ping | ResourceKind::CspViolationReport => Self::Beacon,
            ResourceKind::Prefetch => Self::Prefetch,
            ResourceKind::Manifest | ResourceKind::Other | ResourceKind::Unknown => Self::Other,
        }
    }
}
