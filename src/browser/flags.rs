//! The switches of browsers: what ours are started with, and what those of others must have been.

use std::net::SocketAddr;

use super::remote::Unfit;

/// Where a browser's own traffic goes: to a proxy that is not there. Each scan's context brings the egress proxy.
pub(super) const NOWHERE: &str = "http://127.0.0.1:9";

/// Switches of every browser.
pub(super) const FLAGS: &[&str] = &[
    "--remote-debugging-pipe",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--max-connections-per-proxy=64",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--no-crash-upload",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--mute-audio",
    "--hide-scrollbars",
    "--noerrdialogs",
    "--deny-permission-prompts",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    "--disable-search-engine-choice-screen",
    // A page's script could send from a window that it has opened, before anyone can listen there.
    "--block-new-web-contents",
    "--disable-features=Translate,MediaRouter,OptimizationHints,InterestFeedContentSuggestions,DialMediaRouteProvider,\
      Reporting,NetworkErrorLogging,FetchLaterAPI,BackgroundFetch,Prerender2,DeviceBoundSessions",
    // What a page's speculation rules name is asked for by the browser itself, past all that could hold it: so none of
    // these requests is ever begun.
    "--enable-features=PrefetchSchedulerTesting:kPrefetchSchedulerTestingActiveSetSizeLimitForBase/0/\
      kPrefetchSchedulerTestingActiveSetSizeLimitForBurst/0",
];

/// Those of them on which what is promised, or what is found, rests.
const NEEDED: [&str; 9] = [
    "--force-webrtc-ip-handling-policy=",
    "--disable-background-networking",
    "--disable-extensions",
    "--deny-permission-prompts",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--no-pings",
    "--block-new-web-contents",
];
/// Features that must be off.
const OFF: [&str; 6] = [
    "Reporting",
    "NetworkErrorLogging",
    "FetchLaterAPI",
    "BackgroundFetch",
    "Prerender2",
    "DeviceBoundSessions",
];
/// Without it a browser does not say which switches it has.
const TELLS: &str = "--enable-automation";
const DISABLE: &str = "--disable-features=";
const ENABLE: &str = "--enable-features=";
const TRUST: &str = "--ignore-certificate-errors-spki-list=";

/// Switches that hide flaws, or let through what is to be stopped.
const REFUSED: [&str; 5] = [
    "--allow-running-insecure-content",
    "--disable-web-security",
    "--ignore-certificate-errors",
    "--load-extension",
    "--unsafely-treat-insecure-origin-as-secure",
];

/// What makes a browser one that others may connect to.
pub(super) fn listening(at: SocketAddr) -> [String; 3] {
    [
        TELLS.to_owned(),
        format!("--remote-debugging-address={}", at.ip()),
        format!("--remote-debugging-port={}", at.port()),
    ]
}

/// What a browser says of itself by its switches.
pub(super) struct Switches<'a>(pub &'a [String]);

impl Switches<'_> {
    /// Chromium's own sandbox is on.
    pub fn sandboxed(&self) -> bool {
        !self.has("--no-sandbox")
    }

    /// Its own traffic goes nowhere, as ours'.
    pub fn leads_nowhere(&self) -> bool {
        self.value("--proxy-server=") == Some(NOWHERE)
    }

    /// Whether it was started so that what holds for our own browsers holds for it; `trusted` are keys whose
    /// certificates it must accept.
    pub fn judge(&self, trusted: &[String]) -> Result<(), Unfit> {
        if let Some(refused) = REFUSED.iter().find(|switch| self.has(switch)) {
            return Err(Unfit::Refused(refused));
        }
        let mut missing: Vec<String> = Vec::new();
        for needed in NEEDED {
            let own = FLAGS.iter().find(|own| own.starts_with(needed)).unwrap_or(&needed);
            if !self.0.iter().any(|one| one == own) {
                missing.push((*own).to_owned());
            }
        }
        let lacks = |start: &str, all: &mut dyn Iterator<Item = &str>| {
            let has: Vec<&str> = self
                .value(start)
                .unwrap_or_default()
                .split(',')
                .map(str::trim)
                .collect();
            let lacking: Vec<&str> = all.filter(|one| !has.contains(one)).collect();
            (!lacking.is_empty()).then(|| format!("{start}{}", lacking.join(",")))
        };
        missing.extend(lacks(DISABLE, &mut OFF.into_iter()));
        let on = FLAGS.iter().filter_map(|own| own.strip_prefix(ENABLE));
        missing.extend(lacks(ENABLE, &mut on.flat_map(|own| own.split(','))));
        missing.extend(lacks(TRUST, &mut trusted.iter().map(String::as_str)));
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Unfit::Switches(missing.join(" ")))
        }
    }

    fn has(&self, switch: &str) -> bool {
        let is = |one: &String| {
            one.strip_prefix(switch)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        self.0.iter().any(is)
    }

    /// Of a switch that is given twice the last counts.
    fn value(&self, start: &str) -> Option<&str> {
        self.0.iter().rev().find_map(|one| one.strip_prefix(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<String> {
        FLAGS.iter().map(|own| (*own).to_owned()).collect()
    }

    fn why(switches: &[String], trusted: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|key| (*key).to_owned()).collect();
        match Switches(switches).judge(&trusted) {
            Ok(()) => String::new(),
            Err(unfit) => unfit.to_string(),
        }
    }

    #[test]
    fn a_browser_that_was_started_as_ours_is_fit() {
        let mut switches = own();
        assert_eq!(why(&switches, &[]), "");
        assert!(Switches(&switches).sandboxed() && Switches(&switches).leads_nowhere());
        switches.extend(["--no-sandbox".to_owned(), format!("{TRUST}key-a,key-b")]);
        assert_eq!(why(&switches, &["key-b", "key-a"]), "");
        assert!(!Switches(&switches).sandboxed());
        assert!(
            why(&switches, &["key-c"]).contains("spki-list=key-c"),
            "{}",
            why(&switches, &["key-c"])
        );
    }

    #[test]
    fn each_switch_that_is_needed_is_missed_by_name() {
        for needed in NEEDED {
            let without: Vec<String> = own().into_iter().filter(|own| !own.starts_with(needed)).collect();
            assert!(why(&without, &[]).contains(needed), "{needed}");
        }
        for feature in OFF {
            let on: Vec<String> = own().into_iter().map(|own| own.replace(feature, "Other")).collect();
            assert!(why(&on, &[]).contains(feature), "{feature}");
        }
        let prefetches: Vec<String> = own().into_iter().filter(|own| !own.starts_with(ENABLE)).collect();
        assert!(why(&prefetches, &[]).contains("PrefetchSchedulerTesting"));
    }

    #[test]
    fn of_two_lists_of_features_the_last_counts_and_what_hides_flaws_is_refused() {
        let mut switches = own();
        switches.push(format!("{DISABLE}Translate"));
        assert!(why(&switches, &[]).contains("Reporting"));
        for refused in REFUSED {
            let mut switches = own();
            switches.push(format!("{refused}=x"));
            assert!(why(&switches, &[]).contains(refused), "{refused}");
        }
        // Trusting some keys is not trusting all.
        let mut switches = own();
        switches.push(format!("{TRUST}key"));
        assert_eq!(why(&switches, &[]), "");
    }
}
