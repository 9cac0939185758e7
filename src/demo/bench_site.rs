//! A generated site on which speed is measured: the same bytes on every machine.

use std::fmt::Write as _;

use axum::http::StatusCode;

use super::content::{Ask, Content, Reply};

/// Links from a page to those below it.
const CHILDREN: u32 = 8;

/// The size of images, in pixels each way.
const IMAGE: u32 = 40;

/// A site of any number of pages on any one host, linked as a tree from `/`.
///
/// A page has 80 paragraphs and 12 subresources: three that all pages share and nine
/// of its own, styles and scripts of 10 to 50 kB and small images. Every byte follows from the page's number.
/// Below `/use/` are the same pages again, linked among themselves, with [`CONTROLS`](BenchSite::CONTROLS) each that do
/// something.
#[derive(Debug, Clone, Copy)]
pub struct BenchSite {
    /// Pages, at least 1.
    pub pages: u32,
}

impl Default for BenchSite {
    fn default() -> Self {
        Self { pages: 500 }
    }
}

impl BenchSite {
    /// Controls on a page below `/use/`, no two of which are alike.
    pub const CONTROLS: usize = 5;

    /// Where the pages with controls begin.
    pub const USED: &str = "/use/0";

    /// The path of a page, counted from 0.
    pub fn path(page: u32) -> String {
        match page {
            0 => "/".to_owned(),
            page => format!("/page/{page}"),
        }
    }

    fn page(self, page: u32, used: bool) -> Reply {
        let mut numbers = Numbers(u64::from(page));
        let mut html = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Page {page}</title>\
             <link rel=icon href=data:,><link rel=stylesheet href=/shared/base.css>\
             <link rel=stylesheet href=/own/{page}/0.css><link rel=stylesheet href=/own/{page}/1.css>\
             <script src=/shared/base.js></script>\n<h1>Page {page}</h1><img src=/shared/logo.bmp alt=''>"
        );
        for section in 0..20 {
            let _ = write!(html, "<section class=c{section}><h2>{}</h2>", numbers.words(4));
            for _ in 0..4 {
                let _ = write!(html, "<p>{}</p>", numbers.words(60));
            }
            html.push_str("</section>");
        }
        for image in 0..4 {
            let _ = write!(html, "<img src=/own/{page}/{image}.bmp alt=''>");
        }
        if used {
            for _ in 0..Self::CONTROLS {
                let words = numbers.words(4);
                let _ = write!(
                    html,
                    "<button onclick=\"/* {words} */ this.nextElementSibling.hidden ^= 1\">{words}</button><p hidden>{words}</p>"
                );
            }
        }
        let start = if used { Self::USED } else { "/" };
        let _ = write!(html, "<nav><a href={start}>Start</a>");
        let first = page.saturating_mul(CHILDREN).saturating_add(1);
        for child in (first..first.saturating_add(CHILDREN)).take_while(|child| *child < self.pages) {
            let path = if used {
                format!("/use/{child}")
            } else {
                Self::path(child)
            };
            let _ = write!(html, " <a href={path}>Page {child}</a>");
        }
        html.push_str("</nav>");
        for script in 0..3 {
            let _ = write!(html, "<script src=/own/{page}/{script}.js></script>");
        }
        Reply::html(html)
    }

    /// A subresource by the path below `/shared/` or `/own/PAGE/`.
    fn resource(name: &str, seed: u64) -> Option<Reply> {
        let mut numbers = Numbers(seed);
        let bytes = 10_000 + numbers.below(40_000);
        let reply = match name.rsplit_once('.')?.1 {
            "css" => Reply::ok("text/css", stylesheet(&mut numbers, bytes)),
            "js" => Reply::ok("text/javascript", script(&mut numbers, bytes)),
            "bmp" => Reply::ok("image/bmp", image(&mut numbers)),
            _ => return None,
        };
        Some(reply.header("cache-control", "max-age=3600"))
    }
}

impl Content for BenchSite {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let parts: Vec<_> = ask.path.split('/').skip(1).collect();
        let known = |text: &str| text.parse().ok().filter(|page| *page < self.pages);
        let reply = match parts[..] {
            [""] => Some(self.page(0, false)),
            ["page", page] => known(page).map(|page| self.page(page, false)),
            ["use", page] => known(page).map(|page| self.page(page, true)),
            ["shared", name] => Self::resource(name, seed(u64::MAX, name)),
            ["own", page, name] => known(page).and_then(|page| Self::resource(name, seed(page.into(), name))),
            _ => None,
        };
        reply.unwrap_or_else(|| Reply::status(StatusCode::NOT_FOUND))
    }
}

pub(super) fn seed(page: u64, name: &str) -> u64 {
    name.bytes()
        .fold(page, |seed, byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte))
}

fn stylesheet(numbers: &mut Numbers, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 100);
    while text.len() < bytes {
        let (class, size, hue) = (numbers.below(2_000), numbers.below(9), numbers.below(360));
        let _ = writeln!(
            text,
            ".c{class} > p{{margin:{size}px;border-left:{size}px solid hsl({hue} 60% 80%)}}"
        );
    }
    text
}

fn script(numbers: &mut Numbers, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 100);
    text.push_str("(function(){var sum=0;\n");
    let mut count = 0;
    while text.len() < bytes {
        let (factor, offset) = (numbers.below(97), numbers.below(1_000));
        let _ = writeln!(
            text,
            "function f{count}(a){{return (a*{factor}+{offset})%1009}} sum=f{count}(sum);"
        );
        count += 1;
    }
    text.push_str("document.documentElement.dataset.sum=sum;})();\n");
    text
}

/// An uncompressed image: a header and rows of blue, green and red.
fn image(numbers: &mut Numbers) -> Vec<u8> {
    let pixels = IMAGE * IMAGE * 3;
    let mut bytes = b"BM".to_vec();
    for number in [
        54 + pixels,
        0,
        54,
        40,
        IMAGE,
        IMAGE,
        0x0018_0001,
        0,
        pixels,
        2835,
        2835,
        0,
        0,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    let colour = numbers.next().to_le_bytes();
    bytes.extend(colour[..3].iter().cycle().take((pixels / 2) as usize));
    bytes.extend(colour[3..6].iter().cycle().take((pixels / 2) as usize));
    bytes
}

/// Numbers that look random and are the same everywhere: the generator `SplitMix64` of Steele, Lea and Flood.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 16] = [
            "harbour", "leaf", "water", "kettle", "morning", "chest", "sail", "amber", "paper", "slow", "north",
            "garden", "cup", "steam", "salt", "quiet",
        ];
        let words: Vec<_> = (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{HeaderMap, Method};

    use super::super::content::{Body, Scheme};
    use super::*;

    fn get(site: BenchSite, path: &str) -> (u16, Vec<u8>) {
        let reply = site.get(&Ask {
            scheme: Scheme::Https,
            host: "bench.test",
            path,
            query: "",
            method: &Method::GET,
            headers: &HeaderMap::new(),
            body: &[],
        });
        let Body::Full(bytes) = reply.body else {
            panic!("a body of another kind")
        };
        (reply.status.as_u16(), bytes.to_vec())
    }

    fn targets(html: &str) -> (Vec<String>, Vec<String>) {
        let (mut links, mut resources) = (Vec::new(), Vec::new());
        for tag in html.split('<').filter(|tag| !tag.contains("data:,")) {
            for word in tag.split([' ', '>']) {
                match word.split_once('=') {
                    Some(("href", to)) if tag.starts_with("a ") => links.push(to.to_owned()),
                    Some(("href" | "src", to)) => resources.push(to.to_owned()),
                    _ => {}
                }
            }
        }
        (links, resources)
    }

    #[test]
    fn every_page_is_linked_and_every_resource_is_there() {
        let site = BenchSite { pages: 60 };
        for start in ["/", BenchSite::USED] {
            every_page_is_linked_from(site, start);
        }
        assert_eq!(get(site, "/page/60").0, 404);
    }

    fn every_page_is_linked_from(site: BenchSite, start: &str) {
        let mut known = BTreeSet::from([start.to_owned()]);
        let mut waiting = vec![start.to_owned()];
        while let Some(path) = waiting.pop() {
            let (status, body) = get(site, &path);
            assert_eq!(status, 200, "{path}");
            let (links, resources) = targets(std::str::from_utf8(&body).unwrap());
            assert_eq!(resources.len(), 12, "{path}");
            for resource in resources {
                let (status, body) = get(site, &resource);
                assert_eq!(status, 200, "{resource}");
                assert!((4_000..51_000).contains(&body.len()), "{resource}: {}", body.len());
            }
            waiting.extend(links.into_iter().filter(|link| known.insert(link.clone())));
        }
        assert_eq!(known.len(), 60);
    }

    #[test]
    fn the_same_path_has_the_same_bytes() {
        let site = BenchSite::default();
        for path in ["/page/499", "/use/499", "/own/7/1.js", "/own/7/1.css", "/own/7/0.bmp"] {
            assert_eq!(get(site, path), get(site, path), "{path}");
        }
        assert_ne!(get(site, "/own/7/1.js"), get(site, "/own/8/1.js"));
    }
}
