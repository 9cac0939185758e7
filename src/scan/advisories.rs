//! What is known about vulnerable libraries: the set that is part of the program, or a newer one in the store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use phantom_checks::vulnerable_library::advisories::{Advisories, AdvisoriesError};
use phantom_checks::vulnerable_library::convert::from_retire;
use phantom_checks::vulnerable_library::{Catalog, embedded};
use serde::Serialize;
use url::Url;

use crate::config::Config;
use crate::egress::{Egress, EgressError, EgressRules, FetchError, Fetcher};
use crate::store::{Store, StoreError};

/// Where the source is published.
pub const SOURCE: &str = "https://raw.githubusercontent.com/RetireJS/retire.js/master/repository/jsrepository-v5.json";
/// A set that is older than this many days lacks what was found since.
pub const OLD_DAYS: i64 = 60;
/// A source is not longer, in bytes.
const LONGEST: usize = 16 << 20;
/// How long a download may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of a hundred libraries that are known, a new set names so many at least.
const LEAST_OF_KNOWN: usize = 80;
/// If they are known, no set that is one lacks them.
const NEVER_GONE: [&str; 4] = ["angularjs", "bootstrap", "jquery", "jquery-ui"];
/// Libraries that a set lacks, as far as they are named.
const MOST_NAMED: usize = 5;

/// A set of advisories as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAdvisories {
    /// The day on which its source was fetched, `YYYY-MM-DD`.
    pub date: String,
    /// Where it was fetched.
    pub origin: String,
    /// The set, as the program reads it.
    pub text: String,
}

/// What is used, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdvisoriesInUse {
    /// The day on which the source was fetched.
    pub date: String,
    /// How old that is; `None` if the clock says that it is still to come.
    pub days: Option<i64>,
    /// It is older than [`OLD_DAYS`].
    pub old: bool,
    /// Where it was fetched; `None` for what is part of the program.
    pub origin: Option<String>,
    /// Libraries in it.
    pub libraries: usize,
    /// Advisories in it.
    pub advisories: usize,
}

/// Where a new set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvisorySource {
    /// A file, and the day on which it was fetched.
    File(PathBuf, Date),
    /// A URL.
    Web(Url),
}

/// Why there is no new set. What was known before is still used.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A file cannot be read.
    #[error("cannot read {}: {why}; the advisories that are known stay", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A download failed.
    #[error("{0}; the advisories that are known stay")]
    Fetch(#[from] FetchError),
    /// Downloads cannot be made.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The server answered with something else.
    #[error("{url} answered {what}; name another place with --from; the advisories that are known stay")]
    Answer {
        /// The URL.
        url: String,
        /// What.
        what: String,
    },
    /// It is not what it should be.
    #[error("{origin}: {why}; the advisories that are known stay")]
    Bad {
        /// Where it came from.
        origin: String,
        /// Why.
        why: AdvisoriesError,
    },
    /// It knows less than what it would replace.
    #[error(
        "{origin} lacks {lacks} of the {known} libraries that are known ({which}); it is cut, an old one or no real one; the \
         advisories that are known stay"
    )]
    Less {
        /// Where it came from.
        origin: String,
        /// Known libraries that are not in it.
        lacks: usize,
        /// Libraries that are known.
        known: usize,
        /// Some that it lacks.
        which: String,
    },
    /// It is of a day that is still to come: nothing would be newer until then.
    #[error(
        "{origin} is of {date}, which is still to come; give the day on which it was fetched with --date; the advisories \
         that are known stay"
    )]
    ToCome {
        /// Where it came from.
        origin: String,
        /// Its date.
        date: String,
    },
    /// It is older than what it would replace.
    #[error("{origin} is of {date}, and what is known is of {known}; the advisories that are known stay")]
    Older {
        /// Where it came from.
        origin: String,
        /// Its date.
        date: String,
        /// The date of what is known.
        known: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The set of the store, ready to be used, if it is newer than what is part of the program.
pub(super) async fn current(store: &dyn Store) -> Result<Option<Arc<Catalog>>, StoreError> {
    /// Making a set ready takes longer than reading it, and a process scans many times.
    static READY: Mutex<Option<(String, Arc<Catalog>)>> = Mutex::new(None);
    let Some(stored) = newer(store).await? else {
        return Ok(None);
    };
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((text, catalog)) = ready.as_ref()
        && *text == stored.text
    {
        return Ok(Some(Arc::clone(catalog)));
    }
    let Ok(set) = Advisories::parse(&stored.text) else {
        tracing::warn!(
            "the store's advisories cannot be read by this version; `phantom advisories update` makes them anew"
        );
        return Ok(None);
    };
    let catalog = Arc::new(Catalog::new(set));
    *ready = Some((stored.text, Arc::clone(&catalog)));
    Ok(Some(catalog))
}

async fn newer(store: &dyn Store) -> Result<Option<StoredAdvisories>, StoreError> {
    let own = embedded().map(|own| own.date().to_owned()).unwrap_or_default();
    // Both are `YYYY-MM-DD`.
    Ok(store.advisories().await?.filter(|stored| stored.date > own))
}

/// What a scan would use now.
///
/// # Errors
/// If the store fails.
pub async fn in_use(store: &dyn Store, now: Timestamp) -> Result<AdvisoriesInUse, StoreError> {
    let origin = newer(store).await?.map(|stored| stored.origin);
    let catalog = current(store).await?;
    let origin = catalog.as_ref().and(origin);
    let catalog = catalog.or_else(embedded);
    let date = catalog
        .as_ref()
        .map(|catalog| catalog.date().to_owned())
        .unwrap_or_default();
    let (libraries, advisories) = catalog.map(|catalog| catalog.counts()).unwrap_or_default();
    let today = now.to_zoned(TimeZone::UTC).date();
    let days = date.parse::<Date>().ok().map(|day| i64::from((today - day).get_days()));
    Ok(AdvisoriesInUse {
        old: days.is_some_and(|days| days > OLD_DAYS),
        days: days.filter(|days| *days >= 0),
        date,
        origin,
        libraries,
        advisories,
    })
}

/// Takes a new set into the store, if it is one and knows what is known. Returns what could not be used of its source,
/// as sentences.
///
/// # Errors
/// Whatever is wrong with it; then the store is as it was.
pub async fn update(
    store: &dyn Store,
    config: &Config,
    source: &AdvisorySource,
    now: Timestamp,
) -> Result<Vec<String>, UpdateError> {
    let (origin, date, json) = match source {
        AdvisorySource::File(path, date) => (path.display().to_string(), *date, read(path)?),
        AdvisorySource::Web(url) => {
            let today = now.to_zoned(TimeZone::UTC).date();
            (url.to_string(), today, download(config, url).await?)
        }
    };
    let bad = |why| UpdateError::Bad {
        origin: origin.clone(),
        why,
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    // Somewhere it is tomorrow already.
    let latest = today.tomorrow().unwrap_or(today);
    if date > latest {
        let date = date.to_string();
        return Err(UpdateError::ToCome { origin, date });
    }
    let converted = from_retire(&json, &date.to_string()).map_err(bad)?;
    let known = in_use(store, now).await?;
    let lacking = current(store).await?.or_else(embedded);
    let lacking = lacking
        .map(|catalog| lacks(&converted.advisories, &catalog))
        .unwrap_or_default();
    let kept = known.libraries.saturating_sub(lacking.len());
    let is_cut = kept * 100 < known.libraries * LEAST_OF_KNOWN;
    if is_cut || lacking.iter().any(|name| NEVER_GONE.contains(&name.as_str())) {
        return Err(UpdateError::Less {
            origin,
            lacks: lacking.len(),
            known: known.libraries,
            which: lacking[..lacking.len().min(MOST_NAMED)].join(", "),
        });
    }
    let (date, known) = (date.to_string(), known.date);
    // What an earlier version took in of a day that is still to come gives way.
    if date < known && known <= latest.to_string() {
        return Err(UpdateError::Older { origin, date, known });
    }
    let text = converted.advisories.to_lines().map_err(bad)?;
    // What is written is what will be read.
    Advisories::parse(&text).map_err(bad)?;
    store.keep_advisories(&StoredAdvisories { date, origin, text }).await?;
    Ok(converted.dropped)
}

/// The names of known libraries that a set lacks, those first that none lacks.
fn lacks(set: &Advisories, known: &Catalog) -> Vec<String> {
    let there: HashSet<String> = set.names().map(str::to_ascii_lowercase).collect();
    let lacking = known.names().filter(|name| !there.contains(&name.to_ascii_lowercase()));
    let mut lacking: Vec<String> = lacking.map(str::to_owned).collect();
    lacking.sort_by_key(|name| !NEVER_GONE.contains(&name.as_str()));
    lacking
}

fn read(path: &Path) -> Result<String, UpdateError> {
    let failed = |why: String| UpdateError::Read {
        path: path.to_owned(),
        why,
    };
    let about = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !about.is_file() || about.len() > LONGEST as u64 {
        return Err(failed(format!("it is no file of {LONGEST} bytes at most")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// Downloads through the same proxy as scans do. Redirects are not followed: who asks for one place gets that.
async fn download(config: &Config, url: &Url) -> Result<String, UpdateError> {
    let egress = Egress::start(EgressRules {
        resolve: config.browser.resolve.clone(),
        allow_private: config.network.allow_private.clone(),
        private_hosts: url.host_str().map(str::to_owned).into_iter().collect(),
        upstream: config.network.proxy.clone(),
        ..EgressRules::default()
    })
    .await?;
    let agent = concat!("phantom-gang/", env!("CARGO_PKG_VERSION"));
    let web = Fetcher::new(&egress, &config.browser.trust_spki, agent)?;
    let fetched = web.get(url, &[], LONGEST, PATIENCE).await;
    egress.stop().await;
    let fetched = fetched?;
    let answer = |what: String| UpdateError::Answer {
        url: url.to_string(),
        what,
    };
    if fetched.status != 200 {
        return Err(answer(format!("with the status {}", fetched.status)));
    }
    if fetched.truncated {
        return Err(answer(format!("with more than {LONGEST} bytes")));
    }
    String::from_utf8(fetched.body).map_err(|_| answer("with something that is not text".to_owned()))
}
