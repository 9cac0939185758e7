//! What the pages of a scan speak to, one line for each method and address.

use std::collections::BTreeMap;

use phantom_checks::evidence::{Endpoint, Fate};

use super::model::EndpointPart;

/// Endpoints listed.
pub const MAX_ENDPOINTS: usize = 1_000;
/// Names of fields listed of one.
const MOST_FIELDS: usize = 100;

/// The endpoints of a scan.
#[derive(Default)]
pub(super) struct Endpoints(BTreeMap<(String, String), EndpointPart>);

impl Endpoints {
    /// Adds those of a page.
    pub fn add(&mut self, page: &str, endpoints: Vec<Endpoint>) {
        for endpoint in endpoints {
            let url = endpoint.url.split(['?', '#']).next().unwrap_or_default().to_owned();
            let key = (url.clone(), endpoint.method.clone());
            if self.0.len() >= MAX_ENDPOINTS && !self.0.contains_key(&key) {
                continue;
            }
            let part = self.0.entry(key).or_insert_with(|| EndpointPart {
                method: endpoint.method,
                url,
                page: page.to_owned(),
                asked_by: endpoint.worker.or(endpoint.initiator.url),
                steps: endpoint.path,
                ..EndpointPart::default()
            });
            let times = u64::from(endpoint.times);
            match endpoint.fate {
                Fate::Stopped => part.stopped += times,
                _ => part.sent += times,
            }
            part.held += u64::from(endpoint.held);
            extend(&mut part.fields, endpoint.fields);
            extend(&mut part.tokens, endpoint.tokens.into_iter().map(|token| token.name));
        }
    }

    pub fn finish(self) -> Vec<EndpointPart> {
        self.0.into_values().collect()
    }
}

fn extend(names: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for name in more {
        if names.len() < MOST_FIELDS && !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_method_and_address() {
        let endpoint = |method: &str, url: &str, fate, field: &str| Endpoint {
            method: method.to_owned(),
            url: url.to_owned(),
            fate,
            times: 2,
            fields: vec![field.to_owned()],
            ..Endpoint::default()
        };
        let mut endpoints = Endpoints::default();
        let first = endpoint("POST", "https://shop.test/cart?x=1", Fate::Stopped, "x");
        endpoints.add("https://shop.test/", vec![first]);
        let again = endpoint("POST", "https://shop.test/cart", Fate::Stopped, "y");
        let other = endpoint("GET", "https://shop.test/cart", Fate::Sent, "z");
        endpoints.add("https://shop.test/b", vec![again, other]);
        let found = endpoints.finish();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].method.as_str(), found[0].sent, found[0].stopped),
            ("GET", 2, 0)
        );
        assert_eq!((found[1].sent, found[1].stopped), (0, 4));
        assert_eq!(found[1].fields, ["x", "y"]);
        assert_eq!(found[1].page, "https://shop.test/");
    }
}
