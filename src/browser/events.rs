//! The browser's events, as much of them as is used. Everything has a default: an event of a newer browser loses a
//! detail here, never itself.

use std::collections::BTreeMap;

use serde::Deserialize;

macro_rules! events {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name { $($(#[$attribute])* pub $field: $type),* }
    )*};
}

events! {
    struct RequestWillBeSent {
        request_id: String,
        loader_id: String,
        #[serde(rename = "documentURL")]
        document_url: String,
        request: RequestData,
        initiator: InitiatorData,
        redirect_response: Option<ResponseData>,
        r#type: String,
        frame_id: Option<String>,
    }
    struct RequestData { url: String, method: String, mixed_content_type: String }
    struct PausedRequest {
        url: String,
        method: String,
        headers: BTreeMap<String, serde_json::Value>,
        has_post_data: bool,
        post_data: Option<String>,
    }
    struct InitiatorData { r#type: String, url: Option<String>, line_number: Option<serde_json::Value>, stack: Option<Stack> }
    struct Stack { call_frames: Vec<CallFrame>, parent: Option<Box<Stack>> }
    struct CallFrame { url: String, line_number: i64 }
    struct ResponseReceived { request_id: String, loader_id: String, r#type: String, response: ResponseData }
    struct ResponseData {
        url: String,
        status: u16,
        mime_type: String,
        headers: BTreeMap<String, serde_json::Value>,
        from_disk_cache: bool,
        from_service_worker: bool,
    }
    struct ResponseExtra { request_id: String, status_code: u16, headers: BTreeMap<String, serde_json::Value> }
    struct RequestServedFromCache { request_id: String }
    struct LoadingFinished { request_id: String }
    struct LoadingFailed { request_id: String, error_text: String, blocked_reason: Option<String>, canceled: bool }
    struct WebSocketCreated { request_id: String, url: String, initiator: InitiatorData }
    struct WebSocketHandshake { request_id: String, response: HandshakeData }
    struct HandshakeData { status: u16 }
    struct WebSocketClosed { request_id: String }
    struct IssueAdded { issue: IssueData }
    struct IssueData { code: String, details: IssueDetails }
    struct IssueDetails {
        mixed_content_issue_details: Option<MixedContentDetails>,
        content_security_policy_issue_details: Option<CspDetails>,
    }
    struct CspDetails {
        #[serde(rename = "blockedURL")]
        blocked_url: Option<String>,
        violated_directive: String,
        is_report_only: bool,
        content_security_policy_violation_type: String,
        source_code_location: Option<SourceLocation>,
    }
    struct SourceLocation { url: String, line_number: i64 }
    struct MixedContentDetails {
        resource_type: String,
        resolution_status: String,
        #[serde(rename = "insecureURL")]
        insecure_url: String,
        #[serde(rename = "mainResourceURL")]
        main_resource_url: String,
        request: Option<AffectedRequest>,
        frame: Option<AffectedFrame>,
    }
    struct AffectedRequest { request_id: Option<String>, url: Option<String> }
    struct AffectedFrame { frame_id: String }
    struct FrameNavigated { frame: FrameData }
    struct FrameTree { frame: FrameData }
    struct FrameTreeAnswer { frame_tree: FrameTree }
    struct FrameData {
        id: String,
        parent_id: Option<String>,
        loader_id: String,
        url: String,
        security_origin: String,
    }
    struct FrameAttached { frame_id: String, parent_frame_id: Option<String> }
    struct FrameDetached { frame_id: String, reason: String }
    struct NavigatedWithinDocument { frame_id: String, url: String }
    struct WindowOpen { url: String }
    struct NavigationRequested { frame_id: String, disposition: String }
    struct DialogOpening { r#type: String }
    struct ContextCreated { context: ContextData }
    struct ContextData { id: i64, origin: String, aux_data: ContextAux }
    struct ContextAux { is_default: bool, frame_id: String }
    struct ContextDestroyed { execution_context_id: i64 }
    struct AttachedToTarget { session_id: String, target_info: TargetData, waiting_for_debugger: bool }
    struct BindingCalled { name: String, payload: String }
    struct DetachedFromTarget { session_id: String }
    struct TargetData { target_id: String, r#type: String, url: String, browser_context_id: String }
    struct RequestPaused {
        request_id: String,
        request: PausedRequest,
        frame_id: String,
        resource_type: String,
        network_id: Option<String>,
    }
    // Answers of calls, read as leniently.
    struct Navigated { loader_id: Option<String>, error_text: Option<String>, is_download: bool }
    struct Evaluated { result: RemoteObject, exception_details: Option<serde_json::Value> }
    struct RemoteObject { value: Option<serde_json::Value>, object_id: Option<String>, description: Option<String> }
    struct ListenersAnswer { listeners: Vec<ListenerData> }
    struct ListenerData { r#type: String, backend_node_id: Option<i64>, handler: Option<RemoteObject> }
    struct ResolvedAnswer { object: RemoteObject }
    struct WorldAnswer { execution_context_id: i64 }
    struct CookiesAnswer { cookies: Vec<CookieData> }
    struct CookieData {
        name: String,
        value: String,
        domain: String,
        path: String,
        secure: bool,
        http_only: bool,
        session: bool,
        same_site: Option<String>,
        expires: f64,
    }
    struct BodyAnswer { body: String, base64_encoded: bool }
    struct TargetsAnswer { target_infos: Vec<TargetData> }
    struct VersionAnswer { product: String }
    struct CommandLineAnswer { arguments: Vec<String> }
    struct ContextAnswer { browser_context_id: String }
    struct TargetAnswer { target_id: String }
    struct SessionAnswer { session_id: String }
    struct ShotAnswer { data: String }
    struct Nothing {}
}
