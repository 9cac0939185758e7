//! Marks in the address of a page: `marks.js` notes where they come to.

use url::Url;

/// The address with a mark that no other page has at the end of its fragment, which no server is sent; and the word that
/// all marks of the page will have in them.
pub fn mark(url: &Url) -> (Url, String) {
    let word = format!("phmk{:012x}", rand::random::<u64>() & 0xffff_ffff_ffff);
    let before = url.fragment().unwrap_or_default();
    let mut marked = url.clone();
    marked.set_fragment(Some(&format!("{before}{word}<{word}f>")));
    (marked, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_nothing_that_a_server_is_sent() {
        for (url, fragment) in [("https://a.test/x?y=1", ""), ("https://a.test/#/route", "/route")] {
            let (url, pattern) = (Url::parse(url).unwrap(), r"^phmk([0-9a-f]{12})%3Cphmk[0-9a-f]{12}f%3E$");
            let (marked, word) = mark(&url);
            let rest = marked.fragment().unwrap().strip_prefix(fragment).unwrap();
            assert!(regex::Regex::new(pattern).unwrap().is_match(rest), "{marked}");
            let without = |url: &Url| url.as_str().split('#').next().unwrap().to_owned();
            assert_eq!(without(&marked), without(&url));
            assert!(rest.starts_with(&word));
            assert_ne!(marked, mark(&url).0);
        }
    }
}
