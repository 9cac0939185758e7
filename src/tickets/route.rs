//! Where a finding's ticket goes, and how it is made there.

use url::Url;

use crate::config::{JiraConfig, Route, TicketDefaults};
use crate::site::{PagePatterns, wildcard};
use crate::triage::Finding;

/// How the ticket of a finding is made: the defaults, and what the first route that matches says instead.
pub(super) fn defaults_for(config: &JiraConfig, finding: &Finding, urls: &[&str]) -> TicketDefaults {
    let route = config.routes.iter().find(|route| matches(route, finding, urls));
    route.map_or_else(|| config.defaults.clone(), |route| route.over(&config.defaults))
}

fn matches(route: &Route, finding: &Finding, urls: &[&str]) -> bool {
    let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| wildcard(pattern, text));
    let sites = route.sites.is_empty() || any(&route.sites, &finding.site.0);
    let checks = route.checks.is_empty() || any(&route.checks, &finding.check);
    let causes = route.causes.is_empty() || finding.cause.parts.values().any(|part| any(&route.causes, part));
    let paths = || {
        // What the configuration holds compiles.
        let patterns = PagePatterns::new(&route.paths).ok();
        patterns.is_some_and(|patterns| {
            urls.iter()
                .filter_map(|url| Url::parse(url).ok())
                .any(|url| patterns.matches(&url))
        })
    };
    sites && checks && causes && (route.paths.is_empty() || paths())
}

/// Where tickets are searched: also where they are filed, whatever the list says.
pub(super) fn search_projects(config: &JiraConfig) -> Vec<String> {
    let mut projects = config.defaults.search_projects.clone();
    for project in projects_of(config) {
        if !projects.contains(&project) {
            projects.push(project);
        }
    }
    projects
}

/// Where tickets are filed.
pub(super) fn projects_of(config: &JiraConfig) -> Vec<String> {
    let mut projects = vec![config.defaults.project.clone()];
    for project in config.routes.iter().filter_map(|route| route.project.clone()) {
        if !projects.contains(&project) {
            projects.push(project);
        }
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::testing::{config, finding};

    #[test]
    fn the_first_route_that_matches_wins() {
        let list = |one: &str| vec![one.to_owned()];
        let route = |project: &str, change: fn(&mut Route, Vec<String>), one: &str| {
            let mut route = Route {
                project: Some(project.to_owned()),
                ..Route::default()
            };
            change(&mut route, list(one));
            route
        };
        let url = "https://shop.test/checkout/pay";
        for (change, fits, not) in [
            (
                (|route: &mut Route, it| route.sites = it) as fn(&mut Route, Vec<String>),
                "sh*",
                "blog",
            ),
            (|route, it| route.checks = it, "mixed-*", "insecure-form"),
            (|route, it| route.causes = it, "7", "8"),
            (|route, it| route.paths = it, "/checkout/**", "/blog/**"),
        ] {
            let mut config = config("http://127.0.0.1:9");
            config.routes = vec![
                route("NO", change, not),
                route("YES", change, fits),
                route("LATE", change, fits),
            ];
            assert_eq!(defaults_for(&config, &finding(7), &[url]).project, "YES", "{fits}");
            config.routes.truncate(1);
            assert_eq!(defaults_for(&config, &finding(7), &[url]).project, "SEC", "{not}");
        }
    }
}
