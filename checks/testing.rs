//! Evidence built by hand, for the tests of checks.

use std::collections::HashMap;

use crate::check::{Check, Outcome, SiteFacts, Subject};
use crate::evidence::{
    Charset, Cookie, Evidence, Field, Form, FormMethod, Frame, FrameKind, Header, Page, Request, ResourceKind,
    SameSite, ValueShape,
};

/// One page, its script texts and the site it belongs to.
pub struct Scene {
    pub evidence: Evidence,
    pub elsewhere: Vec<Cookie>,
    pub bodies: HashMap<String, String>,
    pub site: SiteFacts,
}

impl Scene {
    /// A page at `url` with nothing on it but its main frame, `main`; its host is the site's only one.
    pub fn new(url: &str) -> Self {
        let mut evidence = Evidence::of(Page {
            requested_url: url.into(),
            url: url.into(),
            status: Some(200),
            ..Page::default()
        });
        evidence.frames.push(Frame {
            id: "main".into(),
            parent: None,
            url: url.into(),
            origin: String::new(),
            kind: FrameKind::Main,
            captured: true,
        });
        let host = url::Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        Self {
            evidence,
            elsewhere: Vec::new(),
            bodies: HashMap::new(),
            site: SiteFacts {
                hosts: host.into_iter().collect(),
                ..SiteFacts::default()
            },
        }
    }

    /// An HTML page whose answer's headers are known.
    pub fn document(url: &str) -> Self {
        let mut scene = Self::new(url);
        scene.evidence.page.mime = Some("text/html".into());
        scene.header("content-type", "text/html");
        scene
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            evidence: &self.evidence,
            elsewhere: &self.elsewhere,
            bodies: &self.bodies,
            site: &self.site,
            libraries: None,
        }
    }

    pub fn run(&self, check: &dyn Check) -> Outcome {
        check.run(&self.subject())
    }

    /// A frame in the main frame; its id.
    pub fn frame(&mut self, url: &str) -> String {
        self.frame_in("main", url)
    }

    pub fn frame_in(&mut self, parent: &str, url: &str) -> String {
        let id = format!("frame-{}", self.evidence.frames.len());
        self.evidence.frames.push(Frame {
            id: id.clone(),
            parent: Some(parent.into()),
            url: url.into(),
            origin: String::new(),
            kind: FrameKind::Child,
            captured: true,
        });
        id
    }

    pub fn header(&mut self, name: &str, value: &str) {
        self.evidence.page.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
    }

    /// A visible form in the main frame.
    pub fn form(&mut self, method: FormMethod, action: &str, fields: &[Field]) -> &mut Form {
        self.evidence.forms.push(Form {
            frame: "main".into(),
            selector: "form".into(),
            snippet: "<form>".into(),
            has_action: true,
            action: action.into(),
            method,
            visible: true,
            fields: fields.to_vec(),
            ..Form::default()
        });
        self.evidence.forms.last_mut().unwrap()
    }

    /// A cookie of `case.test` that looks like a session's: hidden from scripts, random, ending with the browser.
    pub fn session_cookie(&mut self, name: &str, same_site: SameSite) -> &mut Cookie {
        self.evidence.cookies.push(Cookie {
            name: name.into(),
            domain: "case.test".into(),
            path: "/".into(),
            secure: true,
            http_only: true,
            same_site,
            session: true,
            value: shape("7f4df451a9c3e2b08d6c5e1f00ab43cd"),
        });
        self.evidence.cookies.last_mut().unwrap()
    }

    /// A request of the main frame.
    pub fn request(&mut self, url: &str, kind: ResourceKind) -> &mut Request {
        let id = format!("request-{}", self.evidence.requests.len());
        self.evidence.requests.push(Request {
            id,
            url: url.into(),
            method: "GET".into(),
            kind,
            frame: Some("main".into()),
            ..Request::default()
        });
        self.evidence.requests.last_mut().unwrap()
    }
}

/// A visible field with a name and a type.
pub fn field(kind: &str, name: &str) -> Field {
    Field {
        name: name.into(),
        kind: kind.into(),
        visible: kind != "hidden",
        ..Field::default()
    }
}

/// A hidden field with a value.
pub fn hidden(name: &str, value: &str) -> Field {
    Field {
        value: Some(shape(value)),
        ..field("hidden", name)
    }
}

/// What capture would keep of a value.
pub fn shape(value: &str) -> ValueShape {
    let (charset, entropy) = crate::shape::measure(value);
    ValueShape {
        hash: format!("hash of {value}"),
        length: u32::try_from(value.chars().count()).unwrap(),
        charset,
        entropy,
        kind: None,
    }
}

#[test]
fn shapes_are_those_of_capture() {
    assert_eq!(shape("").charset, Charset::Empty);
    assert_eq!(shape("0123").charset, Charset::Digits);
    assert_eq!(shape("0a1b").charset, Charset::Hex);
    assert_eq!(shape("0a1z").charset, Charset::Alphanumeric);
}
