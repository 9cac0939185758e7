//! What stays the same in a URL from page to page and from deploy to deploy.

use url::Url;

/// The template of a page or an action: host and path with ids, hashes and dates replaced by `{id}`, without the
/// query's values: `https://shop.example/user/17?tab=2` becomes `shop.example/user/{id}?tab`.
pub fn template(url: &Url) -> String {
    let mut text = place(url, segment_template);
    let mut names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        text.push('?');
        text.push_str(&names.join("&"));
    }
    text
}

fn place(url: &Url, segment: impl Fn(&str) -> String) -> String {
    let mut text = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    for part in url.path().split('/').skip(1) {
        text.push('/');
        text.push_str(&segment(part));
    }
    text
}

fn segment_template(segment: &str) -> String {
    segment.to_owned()
}
