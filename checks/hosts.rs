//! Whose a host or a frame is: the site's own, a third party's, or this machine.

use std::net::IpAddr;

use url::{Host, Url};

use crate::check::Subject;
use crate::evidence::Evidence;
use crate::stable::{registrable_domain, same_site};

/// Whether a URL points at the machine of the visitor: a loopback address, `localhost` or a name below it. Browsers
/// trust it without encryption, since nothing leaves the machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Whether a host's registrable domain is one of the site's: of its scope, or of the page itself.
pub fn is_own(subject: &Subject<'_>, host: &str) -> bool {
    let domain = registrable_domain(host);
    let in_scope = subject
        .site
        .hosts
        .iter()
        .any(|pattern| matches(registrable_domain(pattern).as_bytes(), domain.as_bytes()));
    let of_page = || {
        Url::parse(&subject.evidence.page.url)
            .ok()
            .and_then(|page| page.host_str().map(|own| same_site(own, host)))
    };
    in_scope || of_page().unwrap_or(false)
}

/// Whether a frame shows another site's document, whose flaws are not this site's to repair.
pub fn is_third_party(subject: &Subject<'_>, frame: &str) -> bool {
    document_url(subject.evidence, frame)
        .and_then(|url| url.host_str().map(|host| !is_own(subject, host)))
        .unwrap_or(false)
}

/// The URL of a frame's document. A document without one of its own (`about:srcdoc`, `about:blank`, `data:`, `blob:`)
/// has that of the frame around it; an unknown frame has the page's.
pub fn document_url(evidence: &Evidence, frame: &str) -> Option<Url> {
    let mut next = Some(frame);
    // A browser's frames form a tree, but evidence may be damaged and hold a ring.
    for _ in 0..64 {
        let Some(frame) = next.and_then(|id| evidence.frame(id)) else {
            break;
        };
        match Url::parse(&frame.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => return Some(url),
            _ => next = frame.parent.as_deref(),
        }
    }
    Url::parse(&evidence.page.url).ok()
}

/// Whether `text` fits a pattern in which `*` stands for any run of characters.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            retry = Some((at_pattern + 1, at_text));
            at_pattern += 1;
        } else if pattern.get(at_pattern) == Some(&text[at_text]) {
            at_pattern += 1;
            at_text += 1;
        } else if let Some((after_star, from)) = retry {
            at_pattern = after_star;
            at_text = from + 1;
            retry = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn loopback() {
        let table = [
            ("http://127.0.0.1/", true),
            ("http://127.8.8.8:8080/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost:3000/", true),
            ("http://app.localhost/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("http://127.example/", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn own_hosts_are_those_of_the_scope_and_of_the_page() {
        let mut scene = Scene::new("https://www.shop.example/");
        scene.site.hosts = vec![
            "*.shop.example".into(),
            "brand-*.test".into(),
            "help.other.co.uk".into(),
        ];
        let table = [
            ("shop.example", true),
            ("cdn.shop.example", true),
            ("a.brand-one.test", true),
            ("brand.test", false),
            ("www.other.co.uk", true),
            ("evil.co.uk", false),
            ("shop.example.evil.test", false),
        ];
        for (host, expected) in table {
            assert_eq!(is_own(&scene.subject(), host), expected, "{host}");
        }
        scene.site.hosts.clear();
        assert!(is_own(&scene.subject(), "img.shop.example"));
    }

    #[test]
    fn a_document_without_an_address_has_its_parents() {
        let mut scene = Scene::new("https://case.test/");
        let outer = scene.frame("https://ads.example/slot");
        let inner = scene.frame_in(&outer, "about:srcdoc");
        assert!(is_third_party(&scene.subject(), &inner));
        let own = scene.frame("about:blank");
        assert!(!is_third_party(&scene.subject(), &own));
        assert_eq!(
            document_url(&scene.evidence, "no-such-frame").unwrap().as_str(),
            "https://case.test/"
        );
    }

    #[test]
    fn a_ring_of_frames_ends() {
        let mut scene = Scene::new("https://case.test/");
        let id = scene.frame("about:blank");
        scene.evidence.frames.last_mut().unwrap().parent = Some(id.clone());
        assert!(document_url(&scene.evidence, &id).is_some());
    }
}
