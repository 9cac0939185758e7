//! Which cookies carry a visitor's session.

use url::Url;

use crate::check::Subject;
use crate::evidence::{Cookie, SameSite};
use crate::hosts::is_loopback;
use crate::shape::is_random;

/// Names that well-known software gives its session cookie, in lower case; `*` at an end stands for anything.
const SESSION_NAMES: &str = "\
    phpsessid jsessionid connect.sid sessionid laravel_session *_session asp.net_sessionid .aspxauth \
    .aspnetcore.session .aspnetcore.cookies .aspnetcore.identity.* session sid sess session_id sess_id \
    ci_session cakephp cfid cftoken rack.session koa.sess koa:sess express:sess wordpress_logged_in_* \
    wordpress_sec_* wp-postpass_* sess???????????????????????????????? ssess* fe_typo_user be_typo_user \
    symfony sf_redirect play_session _session_id sessid user_session remember_token remember_web_* \
    next-auth.session-token authjs.session-token __session auth_token access_token authtoken moodlesession* \
    mediawiki_session *sessid *sessionid *session-id *_sid *.sid";

/// Names of cookies that count, test or remember, and never authenticate, in lower case.
const OTHER_NAMES: &str = "\
    _ga _ga_* _gid _gat* _gcl_* _gac_* __utm* _fbp _fbc _hj* hj* ajs_* _pk_* mtm_* _pin_* _uet* _clck _clsk \
    _scid* _tt* _ttp _rdt_* amplitude_* amp_* mp_* optimizely* _vis_opt* _vwo* __hs* hubspotutk intercom-* \
    _mkto_trk _dc_gtm* _gtm* __cf_bm cf_clearance __cfruid _cfuvid __cflb awsalb* bigipserver* ak_bmsc bm_* \
    incap_ses_* visid_incap_* nlbi_* datadome *mwuser-sessionid cookieconsent* optanon* euconsent* cookieyes-* didomi* \
    arraffinity* route serverid _dd_s rl_* sb-*-code-verifier nid __gads __gpi __eoi s_vi s_fid s_cc amcv_* \
    kndctr_* at_check mbox _lfa lidc bcookie locale lang language theme timezone currency";

/// How a cookie was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Recognised {
    /// By a random value that scripts cannot read, or that ends with the browser.
    ByShape,
    /// By the name that well-known software gives it.
    ByName,
}

/// The session cookies that would go along with a request to `target`: those that the browser held on the page or, if
/// there is none, on others of the scan.
pub(crate) fn of_visitor<'a>(subject: &Subject<'a>, target: &Url) -> Vec<(&'a Cookie, Recognised)> {
    let own = sent_to(&subject.evidence.cookies, target);
    if own.is_empty() {
        sent_to(subject.elsewhere, target)
    } else {
        own
    }
}

/// The session cookies that the browser would send along with a request to `target` from the same site.
pub(crate) fn sent_to<'a>(cookies: &'a [Cookie], target: &Url) -> Vec<(&'a Cookie, Recognised)> {
    cookies
        .iter()
        .filter(|cookie| is_sent(cookie, target))
        .filter_map(|cookie| recognise(cookie).map(|how| (cookie, how)))
        .collect()
}

/// Whether a cookie carries a session, as far as its name, flags and shape tell.
pub fn is_session(cookie: &Cookie) -> bool {
    recognise(cookie).is_some()
}

/// How a cookie is known to carry a session, as far as its name, flags and shape tell.
pub(crate) fn recognise(cookie: &Cookie) -> Option<Recognised> {
    let name = cookie.name.to_ascii_lowercase();
    let name = name
        .strip_prefix("__host-")
        .or_else(|| name.strip_prefix("__secure-"))
        .unwrap_or(&name);
    let listed = |names: &str| names.split_ascii_whitespace().any(|pattern| fits(pattern, name));
    if listed(OTHER_NAMES) || is_token_cookie(name) || cookie.value.length < 8 {
        return None;
    }
    if listed(SESSION_NAMES) {
        return Some(Recognised::ByName);
    }
    let kept_for_a_session = cookie.http_only || cookie.session;
    (kept_for_a_session && is_random(&cookie.value)).then_some(Recognised::ByShape)
}

/// Whether a cookie's name, in lower case, is that of an authenticity token sent twice.
pub(crate) fn is_token_cookie(name: &str) -> bool {
    name.contains("csrf")
        || name.contains("xsrf")
        || name.starts_with(".aspnetcore.antiforgery")
        || name == "__requestverificationtoken"
}

/// Whether the browser sends a cookie to this URL, `SameSite` aside.
pub(crate) fn is_sent(cookie: &Cookie, target: &Url) -> bool {
    let Some(host) = target.host_str() else {
        return false;
    };
    let domain = cookie.domain.to_ascii_lowercase();
    let host_fits = match domain.strip_prefix('.') {
        Some(parent) => host == parent || host.ends_with(&domain),
        None => host == domain,
    };
    let path = target.path();
    let path_fits = cookie.path.is_empty()
        || path
            .strip_prefix(cookie.path.as_str())
            .is_some_and(|rest| rest.is_empty() || cookie.path.ends_with('/') || rest.starts_with('/'));
    host_fits && path_fits && (!cookie.secure || target.scheme() == "https" || is_loopback(target))
}

/// How easily another site has a cookie sent: the larger, the easier.
pub(crate) fn exposure(same_site: SameSite) -> u8 {
    match same_site {
        SameSite::Strict => 0,
        SameSite::Lax => 1,
        SameSite::Unset | SameSite::Unknown => 2,
        SameSite::None => 3,
    }
}

/// A name against a pattern with `*` at one end or in the middle once, and `?` for any character.
fn fits(pattern: &str, name: &str) -> bool {
    let same = |pattern: &str, text: &str| {
        pattern.len() == text.len() && pattern.bytes().zip(text.bytes()).all(|(p, t)| p == b'?' || p == t)
    };
    match pattern.split_once('*') {
        None => same(pattern, name),
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, shape};

    fn cookie(name: &str) -> Cookie {
        Scene::new("https://case.test/")
            .session_cookie(name, SameSite::Lax)
            .clone()
    }

    #[test]
    fn sessions_are_told_from_counters() {
        use Recognised::{ByName, ByShape};
        let table = [
            ("PHPSESSID", Some(ByName)),
            ("__Host-session", Some(ByName)),
            ("_shop_session", Some(ByName)),
            ("ASP.NET_SessionId", Some(ByName)),
            ("SESS0123456789abcdef0123456789abcdef", Some(ByName)),
            ("shop_customer", Some(ByShape)),
            ("_ga", None),
            ("_hjSessionUser_12", None),
            ("ajs_anonymous_id", None),
            ("XSRF-TOKEN", None),
            ("csrftoken", None),
            ("lang", None),
            // Made by a script of MediaWiki, to count visits.
            ("wikimwuser-sessionId", None),
        ];
        for (name, expected) in table {
            assert_eq!(recognise(&cookie(name)), expected, "{name}");
        }
        let mut plain = cookie("shop_customer");
        plain.value = shape("returning-visitor");
        assert_eq!(recognise(&plain), None);
    }

    #[test]
    fn cookies_go_where_their_domain_path_and_flag_say() {
        let table = [
            ("case.test", "/", "https://case.test/x", true),
            ("case.test", "/", "https://www.case.test/x", false),
            (".case.test", "/", "https://www.case.test/x", true),
            (".case.test", "/", "https://case.test/x", true),
            (".case.test", "/", "https://evilcase.test/x", false),
            ("case.test", "/shop", "https://case.test/shop/buy", true),
            ("case.test", "/shop", "https://case.test/shopping", false),
            ("case.test", "/", "http://case.test/x", false),
        ];
        for (domain, path, target, expected) in table {
            let mut cookie = cookie("sid");
            cookie.domain = domain.into();
            cookie.path = path.into();
            assert_eq!(
                is_sent(&cookie, &Url::parse(target).unwrap()),
                expected,
                "{domain}{path} {target}"
            );
        }
    }
}
