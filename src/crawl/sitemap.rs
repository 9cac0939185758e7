//! Lists of pages: `sitemap.xml`, indexes of them, and plain text.

use std::borrow::Cow;
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::Event;
use url::Url;

/// What is read of one file; as sitemaps.org has it.
pub const LONGEST_SITEMAP: usize = 50 * 1024 * 1024;

/// Entries of one file; as sitemaps.org has it.
pub const MOST_ENTRIES: usize = 50_000;

/// Elements inside each other; a real sitemap has three.
const DEEPEST: usize = 16;

/// A location is not longer.
const LONGEST_LOCATION: usize = 4_096;

/// What a sitemap names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sitemap {
    /// Pages, in the order of the file, not yet compared with the scope.
    pub pages: Vec<Url>,
    /// Further sitemaps.
    pub sitemaps: Vec<Url>,
    /// Why something in it was not read, as a sentence.
    pub remark: Option<String>,
    /// It is none: the server shows a page for any address.
    pub is_web_page: bool,
}

fn is_web_page(text: &str) -> bool {
    let begins = |with: &str| {
        text.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    begins("<!doctype html") || begins("<html")
}

impl Sitemap {
    /// Reads the body of a sitemap. `at` is its URL, which remarks name and relative locations are relative to.
    ///
    /// Entities other than the five of XML are not expanded. What was read before an error is kept.
    pub fn parse(at: &Url, body: &[u8]) -> Self {
        let mut sitemap = Self::default();
        let (unpacked, broken) = unpack(body);
        let read = &unpacked[..unpacked.len().min(LONGEST_SITEMAP)];
        let text = String::from_utf8_lossy(read);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let mut why = if is_web_page(text) {
            sitemap.is_web_page = true;
            Err("is a web page and no sitemap".to_owned())
        } else if text.starts_with('<') {
            sitemap.read_xml(at, text)
        } else {
            sitemap.read_lines(at, text)
        };
        if read.len() < unpacked.len() {
            why = why.and(Err(format!(
                "is longer than {LONGEST_SITEMAP} bytes; the rest was not read"
            )));
        }
        if let Some(error) = broken {
            why = Err(format!(
                "cannot be unpacked to its end: {error}; what came before was read"
            ));
        }
        sitemap.remark = why.err().map(|why| format!("the sitemap {at} {why}"));
        sitemap
    }

    fn read_xml(&mut self, at: &Url, text: &str) -> Result<(), String> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = false;
        let mut depth = 0_usize;
        let mut parent = Parent::Other;
        let mut location: Option<String> = None;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("is broken near byte {}: {error}", reader.buffer_position()))?;
            match event {
                Event::Start(tag) => {
                    depth += 1;
                    if depth > DEEPEST {
                        return Err(format!("has more than {DEEPEST} elements inside each other"));
                    }
                    match tag.local_name().as_ref() {
                        "url" => parent = Parent::Page,
                        "sitemap" => parent = Parent::Sitemap,
                        "loc" => location = Some(String::new()),
                        _ => {}
                    }
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    if tag.local_name().as_ref() == "loc" {
                        self.add(at, parent, location.take().unwrap_or_default().trim())?;
                    }
                }
                Event::Text(text) => append(&mut location, &text),
                Event::CData(text) => append(&mut location, &text),
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().ok().flatten();
                    let character = character.or(match reference.as_ref() {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    });
                    if let Some(character) = character {
                        append(&mut location, character.encode_utf8(&mut [0; 4]));
                    }
                }
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn read_lines(&mut self, at: &Url, text: &str) -> Result<(), String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let urls = |line: &str| line.starts_with("https://") || line.starts_with("http://");
        if !lines.clone().next().is_some_and(urls) {
            return Err("is neither XML nor a list of URLs; it was not read".to_owned());
        }
        lines
            .by_ref()
            .filter(|line| urls(line))
            .try_for_each(|line| self.add(at, Parent::Page, line))
    }

    fn add(&mut self, at: &Url, parent: Parent, location: &str) -> Result<(), String> {
        if self.pages.len() + self.sitemaps.len() >= MOST_ENTRIES {
            return Err(format!("has more than {MOST_ENTRIES} entries; the rest was not read"));
        }
        if location.is_empty() || location.len() > LONGEST_LOCATION {
            return Ok(());
        }
        let url = at
            .join(location)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        match parent {
            Parent::Page => self.pages.extend(url),
            Parent::Sitemap => self.sitemaps.extend(url),
            Parent::Other => {}
        }
        Ok(())
    }
}

/// The bytes of a file that may be gzip, one more than are read at most, and what is wrong with them.
fn unpack(body: &[u8]) -> (Cow<'_, [u8]>, Option<io::Error>) {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return (Cow::Borrowed(body), None);
    }
    let mut unpacked = Vec::new();
    let bound = u64::try_from(LONGEST_SITEMAP).map_or(u64::MAX, |most| most + 1);
    let read = MultiGzDecoder::new(body).take(bound).read_to_end(&mut unpacked);
    (Cow::Owned(unpacked), read.err())
}

/// The element that a location stands in.
#[derive(Clone, Copy)]
enum Parent {
    Page,
    Sitemap,
    Other,
}

/// Adds text to a location that is being read. One character too many marks it as too long.
fn append(location: &mut Option<String>, text: &str) {
    if let Some(location) = location.as_mut().filter(|location| location.len() <= LONGEST_LOCATION) {
        location.extend(text.chars().take(LONGEST_LOCATION + 1));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Sitemap {
        Sitemap::parse(
            &Url::parse("https://shop.example/sitemap.xml").unwrap(),
            text.as_bytes(),
        )
    }

    fn strings(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn pages_are_read() {
        let sitemap = parse(
            "\u{feff}<?xml version=\"1.0\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
             xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\"><!-- <loc>no</loc> -->\
             <url><loc> https://shop.example/a?b=1&amp;c=&#50; </loc><lastmod>2026-01-01</lastmod>\
             <image:image><image:caption>x</image:caption></image:image></url>\
             <url><loc><![CDATA[https://shop.example/b&c]]></loc></url><url><loc>/d</loc></url>\
             <url><loc>javascript:alert(1)</loc></url><url><loc/></url></urlset>",
        );
        let pages = [
            "https://shop.example/a?b=1&c=2",
            "https://shop.example/b&c",
            "https://shop.example/d",
        ];
        assert_eq!(strings(&sitemap.pages), pages);
        assert_eq!(sitemap.remark, None);
    }

    #[test]
    fn an_index_names_sitemaps() {
        let sitemap = parse("<sitemapindex><sitemap><loc>https://shop.example/1.xml</loc></sitemap></sitemapindex>");
        assert_eq!(strings(&sitemap.sitemaps), ["https://shop.example/1.xml"]);
        assert!(sitemap.pages.is_empty());
    }

    #[test]
    fn plain_text_is_a_list() {
        let sitemap = parse("https://shop.example/a\r\n\n  https://shop.example/b\nnonsense\n");
        assert_eq!(
            strings(&sitemap.pages),
            ["https://shop.example/a", "https://shop.example/b"]
        );
    }

    #[test]
    fn what_is_wrong_is_a_remark_and_the_rest_is_kept() {
        let deep = format!("<urlset>{}", "<a>".repeat(100));
        let many = "https://shop.example/a\n".repeat(MOST_ENTRIES + 1);
        let cases = [
            ("", 0, "is neither XML nor a list of URLs"),
            ("Not found", 0, "is neither XML nor a list of URLs"),
            ("\u{1f}\u{8b}", 0, "is neither XML nor a list of URLs"),
            ("<urlset><url><loc>/a</loc></url><url", 1, "is broken near byte"),
            ("<!DOCTYPE html><p>Not found", 0, "is a web page and no sitemap"),
            (&deep, 0, "has more than 16 elements inside each other"),
            (&many, MOST_ENTRIES, "has more than 50000 entries"),
        ];
        for (text, pages, says) in cases {
            let sitemap = parse(text);
            assert_eq!(sitemap.pages.len(), pages, "{says}");
            let remark = sitemap.remark.unwrap();
            assert!(
                remark.starts_with("the sitemap https://shop.example/sitemap.xml "),
                "{remark}"
            );
            assert!(remark.contains(says), "{remark}");
        }
    }

    #[test]
    fn a_compressed_sitemap_is_unpacked() {
        let at = Url::parse("https://shop.example/s.xml.gz").unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(b"<urlset><url><loc>/a</loc></url></urlset>").unwrap();
        let packed = packed.finish().unwrap();
        let sitemap = Sitemap::parse(&at, &packed);
        assert_eq!(strings(&sitemap.pages), ["https://shop.example/a"]);
        assert_eq!(sitemap.remark, None);
        let cut = Sitemap::parse(&at, &packed[..packed.len() - 4]);
        assert_eq!(strings(&cut.pages), ["https://shop.example/a"]);
        assert!(cut.remark.unwrap().contains("cannot be unpacked to its end"));
    }

    #[test]
    fn a_bomb_is_read_no_further_than_any_other_file() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![b'\n'; LONGEST_SITEMAP + 100]).unwrap();
        let packed = packed.finish().unwrap();
        let (unpacked, error) = unpack(&packed);
        assert_eq!((unpacked.len(), error.is_none()), (LONGEST_SITEMAP + 1, true));
    }

    #[test]
    fn entities_are_not_expanded() {
        let sitemap = parse(
            "<!DOCTYPE u [<!ENTITY a \"https://evil.example/\"><!ENTITY b SYSTEM \"file:///etc/passwd\">]>\
             <urlset><url><loc>&a;x&b;</loc></url></urlset>",
        );
        assert_eq!(strings(&sitemap.pages), ["https://shop.example/x"]);
    }

    #[test]
    fn an_endless_location_is_left_out() {
        let sitemap = parse(&format!(
            "<urlset><url><loc>/{}</loc></url></urlset>",
            "a".repeat(100_000)
        ));
        assert!(sitemap.pages.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let at = Url::parse("https://shop.example/").unwrap();
            let _ = Sitemap::parse(&at, &body);
            let _ = Sitemap::parse(&at, &[b"<urlset><url><loc>", body.as_slice()].concat());
        }

        #[test]
        fn no_xml_is_too_strange(text in "(<[/!?]?|>|&|;|url|loc|sitemap|\\[CDATA\\[|]]|--|#x?|[a-z0-9\" ]){0,30}") {
            let _ = parse(&text);
            let _ = parse(&format!("<{text}"));
        }
    }
}
