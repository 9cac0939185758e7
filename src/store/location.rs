//! Where a store is: from what a person writes to a path or a server.

use std::path::PathBuf;

use super::{Result, StoreError};

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// The URL of a PostgreSQL database.
    Server(String),
}

/// The place that `location` names; `None` is the platform's data folder.
pub(super) fn place(location: Option<&str>) -> Result<Place> {
    let Some(location) = location else {
        return default_path().map(Place::File);
    };
    let refused = |why: &str| {
        Err(StoreError::Open {
            url: without_password(location),
            why: why.to_owned(),
            hint: "write it as sqlite:PATH, for example sqlite:/var/lib/phantom-gang/phantom.db, or as \
                   postgres://USER@HOST/DATABASE"
                .to_owned(),
        })
    };
    let path = match location.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some(("postgres" | "postgresql", rest)) => {
            return match rest.strip_prefix("//") {
                Some(rest) if !rest.is_empty() => Ok(Place::Server(location.to_owned())),
                _ => Err(StoreError::Open {
                    url: without_password(location),
                    why: "the server is missing".to_owned(),
                    hint: "write it as postgres://USER@HOST/DATABASE, with the password in PGPASSWORD or ~/.pgpass"
                        .to_owned(),
                }),
            };
        }
        // A mistyped kind must not begin a new history in a file of that name.
        Some((scheme, _)) if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return refused(&format!("there is no store of the kind {scheme}"));
        }
        _ => location,
    };
    match path {
        "" => refused("the path is missing"),
        ":memory:" => refused("a store that is gone with its process cannot resume a scan"),
        path => Ok(Place::File(PathBuf::from(path))),
    }
}

fn default_path() -> Result<PathBuf> {
    match directories::ProjectDirs::from("", "", "phantom-gang") {
        Some(dirs) => Ok(dirs.data_dir().join("phantom.db")),
        None => Err(StoreError::Open {
            url: "in the platform's data folder".to_owned(),
            why: "no home folder is known".to_owned(),
            hint: "set HOME, or name a place with --store sqlite:PATH".to_owned(),
        }),
    }
}

/// The location as it may be shown: what stands between `://` and the last `@` of the authority is left out, and so are
/// parameters, one of which may be the password.
pub(super) fn without_password(said: &str) -> String {
    let location = said.split_once('?').map_or(said, |(location, _)| location);
    let Some((scheme, rest)) = location.split_once("://") else {
        return location.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{tail}"),
        // What is not escaped in a password may end the authority before it.
        None if said.contains('@') => format!("{scheme}://…"),
        None => location.to_owned(),
    }
}

/// The location as it may be written into a command that is copied, if it says a password: all else stays.
pub fn stripped_of_password(location: &str) -> Option<String> {
    match place(Some(location)) {
        Ok(Place::File(_)) => return None,
        Ok(Place::Server(_)) => {}
        Err(_) => return Some(without_password(location)),
    }
    let Ok(mut url) = url::Url::parse(location) else {
        return Some(without_password(location));
    };
    let is_password = |parameter: &str| {
        url::form_urlencoded::parse(parameter.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("password"))
    };
    let parameters: Vec<&str> = url.query().unwrap_or_default().split('&').collect();
    let kept: Vec<&str> = parameters.iter().copied().filter(|one| !is_password(one)).collect();
    if url.password().is_none() && kept.len() == parameters.len() {
        return None;
    }
    let query = kept.join("&");
    url.set_query((!query.is_empty()).then_some(query.as_str()));
    if url.password().is_some() && url.set_password(None).is_err() {
        return Some(without_password(location));
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_file() {
        for (location, path) in [
            ("sqlite:scans.db", "scans.db"),
            ("sqlite:/var/lib/scans.db", "/var/lib/scans.db"),
            ("sqlite://scans.db", "scans.db"),
            ("sqlite:///var/lib/scans.db", "/var/lib/scans.db"),
            ("scans.db", "scans.db"),
            ("/var/lib/a:b.db", "/var/lib/a:b.db"),
        ] {
            assert_eq!(place(Some(location)).unwrap(), Place::File(path.into()), "{location}");
        }
        let server = "postgres://gang@db/scans?sslmode=verify-full";
        assert_eq!(place(Some(server)).unwrap(), Place::Server(server.to_owned()));
        assert!(default_path().unwrap().ends_with("phantom.db"));
    }

    #[test]
    fn what_is_refused_and_why() {
        for (location, said) in [
            ("postgres://", "the server is missing"),
            ("mysql://db/scans", "no store of the kind mysql"),
            ("sqlight:scans.db", "no store of the kind sqlight"),
            ("sqlite:", "the path is missing"),
            ("", "the path is missing"),
            ("sqlite::memory:", "cannot resume"),
        ] {
            let error = place(Some(location)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        for location in [
            "postgres://gang:pa@ss@db/scans",
            "postgres://gang@db/scans?password=pa@ss",
        ] {
            assert_eq!(without_password(location), "postgres://…@db/scans");
        }
    }
    #[test]
    fn what_is_copied_has_no_password_and_still_finds_the_store() {
        for (location, expected) in [
            ("postgres://gang:pw@db/scans", Some("postgres://gang@db/scans")),
            (
                "postgresql://gang:p%40w@db:5433/scans",
                Some("postgresql://gang@db:5433/scans"),
            ),
            ("postgres://gang@db/scans?password=pw", Some("postgres://gang@db/scans")),
            (
                "postgres://gang@db/scans?sslmode=require&pass%77ord=pw&sslrootcert=%2Fca.pem",
                Some("postgres://gang@db/scans?sslmode=require&sslrootcert=%2Fca.pem"),
            ),
            (
                "postgres:///scans?host=/run/pg&password=pw",
                Some("postgres:///scans?host=/run/pg"),
            ),
            ("postgres://gang:p/w@db/scans", Some("postgres://…")),
            ("mysql://gang:pw@db/scans", Some("mysql://…@db/scans")),
            ("postgres://gang@db/scans?sslmode=verify-full", None),
            ("sqlite:/a:b@c?password=d", None),
            ("scans.db", None),
        ] {
            assert_eq!(stripped_of_password(location).as_deref(), expected, "{location}");
        }
    }
}
