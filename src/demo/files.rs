//! Files as content: a folder for each host, `site.toml` beside them.

use std::borrow::Cow;
use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::StatusCode;
use rust_embed::Embed;

use super::DemoError;
use super::content::{Ask, Body, Content, Reply, Scheme, Tls};
use super::rules::{Ending, InTheClear, ReplyRule, Rules};

/// The name of the rules' file.
const RULES: &str = "site.toml";

/// What stands for a random value in templates.
const TOKEN: &str = "{{token}}";

/// Files served as content: `HOST/PATH` is a file in a folder, or in the binary.
///
/// `/teas` is `teas.html` or `teas/index.html`, `/teas/` is `teas/index.html`. `site.toml` says what files cannot:
/// statuses, headers, cookies, delays, replies that never end.
pub struct Files {
    source: Source,
    rules: Rules,
}

enum Source {
    Embedded,
    Folder(PathBuf),
}

/// The demo's content, in the binary so that it works away from the checkout.
///
/// Cargo sees a changed file, but a new one only once this source is compiled again.
#[derive(Embed)]
#[folder = "tests/site/"]
struct Embedded;

impl Source {
    fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        let safe = path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(['\\', '\0']);
        match self {
            _ if !safe => None,
            Self::Embedded => Embedded::get(path).map(|file| file.data),
            Self::Folder(root) => std::fs::read(root.join(path)).ok().map(Cow::Owned),
        }
    }
}

impl Files {
    /// The demo's own content.
    pub fn demo() -> Result<Self, DemoError> {
        Self::new(Source::Embedded)
    }

    /// A folder whose sub-folders are hosts.
    pub fn folder(root: impl Into<PathBuf>) -> Result<Self, DemoError> {
        let root = root.into();
        std::fs::read_dir(&root).map_err(|source| DemoError::Read {
            path: root.display().to_string(),
            source,
        })?;
        Self::new(Source::Folder(root))
    }

    fn new(source: Source) -> Result<Self, DemoError> {
        let text = source.read(RULES).unwrap_or_default();
        let rules = toml::from_slice(&text).map_err(|source| DemoError::Rules {
            file: RULES.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { source, rules })
    }

    /// The file of a path: its name and what is in it.
    fn find(&self, host: &str, path: &str) -> Option<(String, Cow<'static, [u8]>)> {
        let path = path.trim_start_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        // What begins with an underscore is a part of pages, not a page.
        if last.starts_with('_') {
            return None;
        }
        let names = match last {
            "" => vec![format!("{host}/{path}index.html")],
            _ => vec![
                format!("{host}/{path}"),
                format!("{host}/{path}.html"),
                format!("{host}/{path}/index.html"),
            ],
        };
        names
            .into_iter()
            .find_map(|name| self.source.read(&name).map(|data| (name, data)))
    }

    /// The file as it is sent.
    fn render(&self, host: &str, name: &str, data: Cow<'static, [u8]>, token: &str) -> Bytes {
        let is_html = extension(name) == "html";
        match std::str::from_utf8(&data) {
            Ok(text) if is_html && self.rules.templates => {
                // Policies in the rules name the token as the nonce of all scripts.
                let page = self.in_layout(host, text);
                let page = page.replace("<script", "<script nonce={{token}}");
                Bytes::from(page.replace(TOKEN, token))
            }
            _ => match data {
                Cow::Borrowed(data) => Bytes::from_static(data),
                Cow::Owned(data) => Bytes::from(data),
            },
        }
    }

    /// A page that begins with its title, put into its host's layout; any other as it is.
    fn in_layout(&self, host: &str, page: &str) -> String {
        let parts = page
            .strip_prefix("<title>")
            .and_then(|rest| rest.split_once("</title>"));
        let layout = self.source.read(&format!("{host}/_layout.html"));
        let (Some((title, body)), Some(layout)) = (parts, layout) else {
            return page.to_owned();
        };
        String::from_utf8_lossy(&layout)
            .replace("<!-- title -->", title)
            .replace("<!-- body -->", body.trim())
    }

    fn file(&self, ask: &Ask<'_>, token: &str) -> Option<Reply> {
        let (name, data) = self.find(ask.host, ask.path)?;
        let body = self.render(ask.host, &name, data, token);
        Some(Reply::ok(content_type(&name), body))
    }

    fn not_found(&self, ask: &Ask<'_>, token: &str) -> Reply {
        let own = Ask {
            path: "/404.html",
            ..*ask
        };
        match self.file(&own, token) {
            Some(reply) => Reply {
                status: StatusCode::NOT_FOUND,
                ..reply
            },
            None => Reply::status(StatusCode::NOT_FOUND),
        }
    }
}

impl Content for Files {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let token = format!("{:032x}", rand::random::<u128>());
        let host = self.rules.hosts.get(ask.host);
        let in_the_clear = host.map(|host| host.http).unwrap_or_default();
        if ask.scheme == Scheme::Http && in_the_clear == InTheClear::Redirect {
            let query = if ask.query.is_empty() { "" } else { "?" };
            let to = format!("https://{}{}{query}{}", ask.host, ask.path, ask.query);
            return Reply::redirect(StatusCode::MOVED_PERMANENTLY, &to);
        }
        let rule = self.rules.replies.get(&format!("{}{}", ask.host, ask.path));
        let file = self.file(ask, &token);
        let mut reply = match rule {
            None => file.unwrap_or_else(|| self.not_found(ask, &token)),
            Some(rule) => follow(rule, file),
        };
        let is_page = reply.headers.iter().any(|(_, value)| value.starts_with("text/html"));
        for cookie in host.iter().flat_map(|host| &host.cookies) {
            if is_page && !ask.has_cookie(cookie.split('=').next().unwrap_or_default()) {
                reply = reply.header("set-cookie", &cookie.replace(TOKEN, &token));
            }
        }
        for cookie in rule.iter().flat_map(|rule| &rule.cookies) {
            reply = reply.header("set-cookie", &cookie.replace(TOKEN, &token));
        }
        for (name, value) in host.iter().flat_map(|host| &host.headers) {
            reply = reply.header(name, &value.replace(TOKEN, &token));
        }
        reply
    }

    fn tls(&self, host: &str) -> Tls {
        self.rules.hosts.get(host).map(|host| host.tls).unwrap_or_default()
    }
}

/// The reply that a rule describes, with its file if it has one.
fn follow(rule: &ReplyRule, file: Option<Reply>) -> Reply {
    let has_file = file.is_some();
    let mut reply = file.unwrap_or_else(|| Reply::ok("text/html; charset=utf-8", Bytes::new()));
    if let Some(status) = rule.status {
        reply.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if !has_file && reply.status != StatusCode::OK {
        reply.headers.clear();
    }
    reply.headers.extend(rule.headers.iter().cloned());
    reply.delay = rule.delay();
    let head = match reply.body {
        Body::Full(bytes) => bytes,
        _ => Bytes::new(),
    };
    reply.body = match rule.ending {
        Ending::Whole => Body::Full(head),
        Ending::Never => Body::Never(head),
        Ending::Cut => Body::Cut(head),
        Ending::Silence => Body::Silence,
        Ending::Drop => Body::Drop,
    };
    reply
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn content_type(name: &str) -> &'static str {
    match extension(name) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::*;

    fn get(files: &Files, url: &str, cookie: &str) -> Reply {
        let url = url::Url::parse(url).unwrap();
        let mut headers = HeaderMap::new();
        if !cookie.is_empty() {
            headers.insert("cookie", cookie.parse().unwrap());
        }
        files.get(&Ask {
            scheme: if url.scheme() == "https" {
                Scheme::Https
            } else {
                Scheme::Http
            },
            host: url.host_str().unwrap(),
            path: url.path(),
            query: url.query().unwrap_or_default(),
            method: &Method::GET,
            headers: &headers,
            body: &[],
        })
    }

    fn folder(entries: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in entries {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = Files::folder(root.path()).unwrap();
        (root, files)
    }

    fn text(reply: Reply) -> String {
        match reply.body {
            Body::Full(bytes) | Body::Never(bytes) | Body::Cut(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => String::new(),
        }
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
        let found = reply.headers.iter().filter(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn paths_find_their_files_and_nothing_else() {
        let (_root, files) = folder(&[
            ("a.test/index.html", "home"),
            ("a.test/teas.html", "teas"),
            ("a.test/shops/index.html", "shops"),
            ("a.test/x.css", "css"),
            ("a.test/_layout.html", "layout"),
            ("secret.txt", "secret"),
        ]);
        let cases = [
            ("https://a.test/", 200, "home"),
            ("https://a.test/teas", 200, "teas"),
            ("https://a.test/shops", 200, "shops"),
            ("https://a.test/shops/", 200, "shops"),
            ("https://a.test/x.css?v=1", 200, "css"),
            ("https://a.test/teas/", 404, "404 Not Found\n"),
            ("https://a.test/_layout.html", 404, "404 Not Found\n"),
            ("https://b.test/", 404, "404 Not Found\n"),
        ];
        for (url, status, body) in cases {
            let reply = get(&files, url, "");
            assert_eq!(reply.status.as_u16(), status, "{url}");
            assert_eq!(text(reply), body, "{url}");
        }
        assert!(files.source.read("a.test/../secret.txt").is_none());
        assert!(files.source.read("/etc/passwd").is_none());
    }

    #[test]
    fn rules_shape_replies() {
        let rules = r#"
            templates = true
            hosts."a.test" = { cookies = ["sid={{token}}; HttpOnly"], headers = [["x-all", "1"]] }
            hosts."plain.test" = { http = "same", tls = "refused" }
            replies."a.test/old" = { status = 302, headers = [["location", "/"]] }
            replies."a.test/endless" = { ending = "never", delay_ms = 20 }
        "#;
        let (_root, files) = folder(&[
            ("site.toml", rules),
            ("a.test/_layout.html", "<h1><!-- title --></h1><!-- body -->"),
            ("a.test/index.html", "<title>Tea</title>\n{{token}}\n"),
            ("a.test/endless.html", "so far"),
            ("a.test/a.js", "{{token}}"),
            ("plain.test/index.html", "plain"),
        ]);

        let home = get(&files, "https://a.test/", "");
        let cookie = header(&home, "set-cookie")[0].to_owned();
        assert_eq!(header(&home, "x-all"), ["1"]);
        let page = text(home);
        let token = page.strip_prefix("<h1>Tea</h1>").unwrap();
        assert_eq!(cookie, format!("sid={token}; HttpOnly"));
        assert_eq!(token.len(), 32);
        assert_ne!(text(get(&files, "https://a.test/", "")), page, "a new token each time");
        assert!(header(&get(&files, "https://a.test/", "b=1; sid=x"), "set-cookie").is_empty());
        assert!(header(&get(&files, "https://a.test/a.js", ""), "set-cookie").is_empty());
        assert_eq!(text(get(&files, "https://a.test/a.js", "")), "{{token}}");

        let moved = get(&files, "https://a.test/old", "");
        assert_eq!((moved.status.as_u16(), header(&moved, "location")), (302, vec!["/"]));
        let endless = get(&files, "https://a.test/endless", "");
        assert_eq!(endless.delay.as_millis(), 20);
        assert!(matches!(endless.body, Body::Never(_)));

        let upgraded = get(&files, "http://a.test/x?y=1", "");
        assert_eq!(header(&upgraded, "location"), ["https://a.test/x?y=1"]);
        assert_eq!(text(get(&files, "http://plain.test/", "")), "plain");
        assert_eq!(
            (files.tls("plain.test"), files.tls("a.test")),
            (Tls::Refused, Tls::Trusted)
        );
    }

    #[test]
    fn wrong_rules_name_their_file_and_place() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(RULES), "hosts.\"a.test\" = { tsl = \"refused\" }").unwrap();
        let Err(error) = Files::folder(root.path()) else {
            panic!("accepted")
        };
        let message = error.to_string();
        assert!(
            message.starts_with("site.toml: ") && message.contains("tsl"),
            "{message}"
        );
    }
}
