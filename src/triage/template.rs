//! Which pages are alike.

use url::Url;

/// Words of hexadecimal digits of at least this length are ids, not words.
const SHORTEST_HEX: usize = 8;
/// Longer parts of a path are titles or ids.
const LONGEST_WORD: usize = 40;

/// The shape of a page's URL: host and path, in which `{id}` stands for every part that has a digit, is a long
/// hexadecimal number or is longer than 40 characters. The query is left out, but for the names of its parameters.
///
/// Pages are taken to be of one template by their URLs alone; what their documents look like is not compared.
pub fn template_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let mut template = format!("{host}{port}");
    for part in url.path().split('/').skip(1) {
        template.push('/');
        template.push_str(if is_id(part) { "{id}" } else { part });
    }
    let mut names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        template.push('?');
        template.push_str(&names.join("&"));
    }
    template
}

fn is_id(part: &str) -> bool {
    part.bytes().any(|byte| byte.is_ascii_digit())
        || part.len() > LONGEST_WORD
        || (part.len() >= SHORTEST_HEX && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_that_differ_in_ids_are_alike() {
        for (url, template) in [
            ("https://shop.test/", "shop.test/"),
            ("https://shop.test/product/17", "shop.test/product/{id}"),
            (
                "http://shop.test:8080/product/a-17/reviews",
                "shop.test:8080/product/{id}/reviews",
            ),
            ("https://shop.test/u/deadbeefcafe", "shop.test/u/{id}"),
            ("https://shop.test/about/faded", "shop.test/about/faded"),
            (
                "https://shop.test/list?page=2&sort=up&page=3",
                "shop.test/list?page&sort",
            ),
            ("https://shop.test/blog/2009/", "shop.test/blog/{id}/"),
        ] {
            assert_eq!(template_of(&Url::parse(url).unwrap()), template);
        }
    }

    proptest! {
        #[test]
        fn numbers_make_no_difference(one in 0_u32.., other in 0_u32..) {
            let of = |id: u32| template_of(&Url::parse(&format!("https://shop.test/p/{id}?page={id}")).unwrap());
            prop_assert_eq!(of(one), of(other));
        }
    }
}
