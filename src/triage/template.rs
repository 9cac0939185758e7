//! Which pages are alike.

use url::Url;

use crate::crawl::Template;

/// The name of the pages that a page is alike, by its URL; what their documents look like is not compared.
pub fn template_of(url: &Url) -> String {
    Template::of(url).pattern
}
