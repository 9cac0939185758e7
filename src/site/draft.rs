//! A first version of a site's file, from what the site itself said.

use std::fmt::Write as _;

use url::Url;

use super::SiteId;
use super::private::private_address;
use crate::report::safe::one_line;

/// What is known of a site that has no file yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The site's id.
    pub id: SiteId,
    /// What the start page calls itself. Untrusted.
    pub title: Option<String>,
    /// Where the crawl starts.
    pub start: Url,
    /// Origins that belong to it, the start's own first.
    pub origins: Vec<String>,
    /// Pages that its sitemaps list.
    pub sitemap_pages: u64,
    /// What robots.txt says, if there is one: whether it forbids the start page, and the time it asks for between two
    /// visits, in seconds.
    pub robots: Option<RobotsSay>,
    /// The page on which a login form was seen. Untrusted.
    pub login: Option<String>,
}

/// What robots.txt says, as far as a person wants to know at first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobotsSay {
    /// The start page may be visited.
    pub allows_start: bool,
    /// Seconds between two visits, if it asks for some.
    pub crawl_delay: Option<f64>,
}

/// An id from a host: `www.shop.example` is `shop-example`.
pub fn id_of(host: &str) -> SiteId {
    let host = host.strip_prefix("www.").unwrap_or(host).to_ascii_lowercase();
    let words = host.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut id = words.join("-");
    id.truncate(64);
    SiteId(id.trim_end_matches('-').to_owned())
}

impl Draft {
    /// The text of the file. Nothing that a page says can be more than text in it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let title = self
            .title
            .as_deref()
            .map(one_line)
            .filter(|title| !title.trim().is_empty());
        let mut line = |text: &str| {
            let _ = writeln!(out, "{text}");
        };
        line("# Written by `phantom sites add`. Every key there is, and what it does: sitemaps/example.toml.");
        line("");
        line("# The site's name in findings and tickets. It outlives the file's name: change it now or never.");
        line(&format!("id = {}", quoted(&self.id.0)));
        line(&format!("title = {}", quoted(title.as_deref().unwrap_or(&self.id.0))));
        line("# Who repairs it, and who allowed the scan.");
        line("# owner = \"web-team@shop.example\"");
        line("# approved_by = \"web-owner\"");
        line(&format!("start = [{}]", quoted(self.start.as_str())));
        match self.sitemap_pages {
            0 => line("# No sitemap was found; what the pages link to is followed."),
            pages => line(&format!("# Its sitemaps list {pages} pages.")),
        }
        line("sitemaps = \"auto\"");
        line("");
        line("[scope]");
        let origins: Vec<String> = self
            .origins
            .iter()
            .map(|origin| quoted(&format!("{origin}/**")))
            .collect();
        line(&format!("include = [{}]", origins.join(", ")));
        line("# exclude = [\"/print/**\"]");
        if private_address(&self.start).is_some() {
            line("# It is at a private address, which `network.allow_private` in phantom.toml must allow, too.");
            line("allow_private = true");
        }
        match self.robots {
            Some(RobotsSay {
                allows_start: false, ..
            }) => {
                line("# Its robots.txt forbids the start page. If the site is yours, you may write \"ignore\".");
            }
            Some(_) => line("# There is a robots.txt; what it disallows is listed as not checked."),
            None => line("# There is no robots.txt."),
        }
        line("robots = \"obey\"");
        line("");
        line("[limits]");
        line("pages = 5000");
        line("duration = \"3h\"");
        if let Some(delay) = self.robots.and_then(|robots| robots.crawl_delay) {
            line(&format!(
                "# Its robots.txt asks for {delay} s between two visits, which is kept to."
            ));
        }
        line("pages_per_s = 2");
        if let Some(login) = &self.login {
            line("");
            line(&format!(
                "# A form that asks for a password was seen on {}",
                one_line(login)
            ));
            line("# Without a login, the scan sees what everybody sees.");
        }
        out
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::site::Site;

    fn draft(title: &str) -> Draft {
        Draft {
            id: id_of("www.shop.example"),
            title: Some(title.to_owned()),
            start: Url::parse("https://www.shop.example/").unwrap(),
            origins: vec!["https://www.shop.example".to_owned(), "https://shop.example".to_owned()],
            sitemap_pages: 12,
            robots: Some(RobotsSay {
                allows_start: true,
                crawl_delay: Some(2.5),
            }),
            login: Some(format!("https://www.shop.example/login?{title}")),
        }
    }

    #[test]
    fn ids_come_from_hosts() {
        for (host, id) in [
            ("www.shop.example", "shop-example"),
            ("Promo-2026.shop.example", "promo-2026-shop-example"),
            ("[::1]", "1"),
            ("127.0.0.1", "127-0-0-1"),
        ] {
            assert_eq!(id_of(host).0, id);
        }
    }

    #[test]
    fn a_site_at_a_private_address_may_be_scanned() {
        for (start, private) in [
            ("http://127.0.0.1:19080/", true),
            ("http://localhost/", true),
            ("http://[fd00::1]/", true),
            ("https://www.shop.example/", false),
        ] {
            let mut draft = draft("Shop");
            draft.start = Url::parse(start).unwrap();
            draft.origins = vec![draft.start.origin().ascii_serialization()];
            let site = Site::from_str(&draft.text(), Path::new("shop.toml")).unwrap();
            assert_eq!(site.scope.allow_private, private, "{start}");
        }
    }

    #[test]
    fn a_draft_is_a_sites_file() {
        let text = draft("Shop \"main\"").text();
        let site = Site::from_str(&text, Path::new("sitemaps/shop-example.toml")).unwrap();
        assert_eq!(
            (site.id.0.as_str(), site.title.as_str()),
            ("shop-example", "Shop \"main\"")
        );
        assert_eq!(
            site.scope.include,
            ["https://www.shop.example/**", "https://shop.example/**"]
        );
        for part in [
            "list 12 pages",
            "asks for 2.5 s",
            "asks for a password was seen on https://www.shop.example/login",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    proptest! {
        #[test]
        fn no_title_is_more_than_a_title(title in "(?s).{0,60}|[\"'\\\\\n\r#=\\[\\]]{0,30}") {
            let text = draft(&title).text();
            let site = Site::from_str(&text, Path::new("x.toml"));
            prop_assert!(site.is_ok(), "{}\n{}", text, site.unwrap_err());
        }
    }
}
