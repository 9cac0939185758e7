//! What challenges, CAPTCHAs, consent walls and maintenance pages are known by.

use super::{Obstacle, View};

/// Headers that only an answer in a page's place has: name, part of the value, who, what it is.
const HEADERS: &[(&str, &str, &str, Obstacle)] = &[
    ("cf-mitigated", "challenge", "Cloudflare", Obstacle::Challenge),
    ("x-vercel-mitigated", "challenge", "Vercel", Obstacle::Challenge),
    ("x-amzn-waf-action", "challenge", "AWS WAF", Obstacle::Challenge),
    ("x-amzn-waf-action", "captcha", "AWS WAF", Obstacle::Captcha),
    ("x-sucuri-block", "", "Sucuri", Obstacle::Challenge),
];

/// What only a challenge loads.
const ONLY_CHALLENGES: &[(&str, &str)] = &[
    ("/orchestrate/chl_page/", "Cloudflare"),
    ("/orchestrate/managed/", "Cloudflare"),
    ("/orchestrate/jsch/", "Cloudflare"),
    ("/_sec/cp_challenge/", "Akamai"),
    ("/.well-known/sgcaptcha", "SiteGround"),
];

/// What challenges load, and ordinary pages behind the same guard now and then: part of a URL, who.
const ALSO_CHALLENGES: &[(&str, &str)] = &[
    ("/cdn-cgi/challenge-platform/", "Cloudflare"),
    ("/_Incapsula_Resource", "Imperva"),
    ("captcha-delivery.com/", "DataDome"),
    ("/.within.website/x/", "Anubis"),
    (".awswaf.com/", "AWS WAF"),
    ("captcha.px-cdn.net/", "HUMAN"),
    ("captcha.perimeterx.net/", "HUMAN"),
    ("/.well-known/ddos-guard/", "DDoS-Guard"),
    ("/TSPD/", "F5"),
    ("/_pxCaptcha", "HUMAN"),
    ("/149e9513-01fa-4fb0-aad4-566afd725d1b/", "Kasada"),
];

/// Hosts that redirects to a challenge lead to.
const CHALLENGE_HOSTS: &[&str] = &[
    "validate.perfdrive.com",
    "geo.captcha-delivery.com",
    "challenges.cloudflare.com",
];

/// Titles of challenges, or what they begin with.
const CHALLENGE_TITLES: &[&str] = &[
    "access to this page has been denied",
    "attention required! | cloudflare",
    "bir dakika lütfen",
    "bot verification",
    "checking your browser",
    "chwileczkę",
    "client challenge",
    "ddos-guard",
    "een moment geduld",
    "einen moment",
    "human verification",
    "just a moment",
    "making sure you're not a bot",
    "making sure you&#39;re not a bot",
    "nur einen moment",
    "one moment, please",
    "pardon our interruption",
    "please wait while we verify",
    "robot check",
    "security checkpoint",
    "sucuri website firewall",
    "um momento",
    "un instant",
    "un momento",
    "verifying your browser",
    "vercel security checkpoint",
    "you are being redirected",
    "подождите",
    "один момент",
    "しばらくお待ちください",
    "请稍候",
    "請稍候",
    "잠시만 기다리",
];

/// Where CAPTCHAs come from.
const CAPTCHAS: &[&str] = &[
    "hcaptcha.com/",
    "google.com/recaptcha/",
    "recaptcha.net/recaptcha/",
    "gstatic.com/recaptcha/",
    "challenges.cloudflare.com/turnstile/",
    "arkoselabs.com/",
    "funcaptcha.com/",
    "geetest.com/",
    "friendlycaptcha.",
    "captcha.awswaf.com/",
];

/// What a page says that asks whether one is a person.
const ARE_YOU_HUMAN: &[&str] = &[
    "are a human",
    "are human",
    "are not a robot",
    "are you a robot",
    "are you human",
    "ein mensch sind",
    "geen robot",
    "i'm not a robot",
    "kein roboter",
    "mensch sind",
    "no eres un robot",
    "no soy un robot",
    "non sei un robot",
    "not a robot",
    "n'êtes pas un robot",
    "não é um robô",
    "pas un robot",
    "security check",
    "sicherheitsüberprüfung",
    "unusual traffic",
    "ungewöhnlichen datenverkehr",
    "не робот",
    "ロボットではありません",
    "人机验证",
];

/// Titles of consent walls, or what they begin with.
const CONSENT_TITLES: &[&str] = &[
    "antes de continuar",
    "avant de continuer",
    "before you continue",
    "before you enter",
    "bevor sie fortfahren",
    "bevor sie weiter",
    "consent",
    "cookie consent",
    "cookie wall",
    "cookie-einwilligung",
    "cookies required",
    "prima di continuare",
    "voordat je verdergaat",
    "voordat u verdergaat",
    "we value your privacy",
    "wir respektieren ihre privatsphäre",
    "your privacy choices",
    "zustimmung",
];

/// Parts of a path of consent walls.
const CONSENT_PATHS: &[&str] = &[
    "consent",
    "cookiewall",
    "cookie-wall",
    "cookie-consent",
    "privacy-gate",
    "zustimmung",
];

/// What is asked for, by the beginnings of words.
const CONSENT_WORDS: &[&str] = &[
    "consens",
    "consent",
    "cookie",
    "datenschutz",
    "einwillig",
    "privac",
    "privatsph",
    "samtyck",
    "toestemming",
    "zgod",
    "zustimm",
];

/// What the button says, by the beginnings of words.
const ACCEPT_WORDS: &[&str] = &[
    "accept",
    "accett",
    "aceit",
    "acept",
    "agree",
    "akcept",
    "akzept",
    "allow",
    "autoris",
    "einverstanden",
    "godkänn",
    "zgadzam",
    "zustimmen",
];

/// What titles of maintenance pages have in them.
const MAINTENANCE_TITLES: &[&str] = &[
    "bald wieder da",
    "be back shortly",
    "be back soon",
    "be right back",
    "closed for maintenance",
    "de retour bientôt",
    "down for maintenance",
    "em manutenção",
    "en maintenance",
    "en mantenimiento",
    "gleich wieder da",
    "in manutenzione",
    "in onderhoud",
    "maintenance en cours",
    "maintenance mode",
    "prace konserwacyjne",
    "przerwa techniczna",
    "scheduled maintenance",
    "site maintenance",
    "temporarily unavailable",
    "torneremo presto",
    "undergoing maintenance",
    "under maintenance",
    "volveremos pronto",
    "vorübergehend nicht erreichbar",
    "wartungsarbeiten",
    "wartungsmodus",
    "wegen wartung",
    "wegens onderhoud",
    "технические работы",
    "メンテナンス中",
    "维护中",
];

/// Whole titles of such pages.
const JUST_MAINTENANCE: &[&str] = &[
    "maintenance",
    "manutenzione",
    "mantenimiento",
    "onderhoud",
    "underhåll",
    "wartung",
];

/// Parts of titles that say that there is no such page.
const MISSING_TITLES: &[&str] = &[
    "404",
    "404 error",
    "404 not found",
    "404 page not found",
    "error 404",
    "fehler 404",
    "not found",
    "page introuvable",
    "page non trouvée",
    "page not found",
    "pagina niet gevonden",
    "pagina non trovata",
    "página no encontrada",
    "página não encontrada",
    "seite nicht gefunden",
    "sidan hittades inte",
    "sivua ei löydy",
    "siden blev ikke fundet",
    "strona nie znaleziona",
    "страница не найдена",
    "ページが見つかりません",
    "页面不存在",
];

/// Words of paths where people log in.
const LOGIN_PATHS: &[&str] = &[
    "acceder",
    "accedi",
    "anmelden",
    "auth",
    "authenticate",
    "authentication",
    "connexion",
    "einloggen",
    "inloggen",
    "log-in",
    "log_in",
    "login",
    "logon",
    "oauth",
    "saml",
    "sign-in",
    "sign_in",
    "signin",
    "sso",
    "wp-login",
];

/// Parts of titles of pages where people log in.
const LOGIN_TITLES: &[&str] = &[
    "acceder",
    "accedi",
    "anmelden",
    "anmeldung",
    "authentication required",
    "connexion",
    "einloggen",
    "entrar",
    "iniciar sesión",
    "inloggen",
    "kirjaudu",
    "log in",
    "log on",
    "logga in",
    "login",
    "logowanie",
    "please log in",
    "please sign in",
    "se connecter",
    "sign in",
    "вход",
    "ログイン",
    "登录",
];

/// Parts of paths that the law asks pages to link to.
const LEGAL_PATHS: &[&str] = &[
    "agb",
    "cookie",
    "datenschutz",
    "impressum",
    "imprint",
    "legal",
    "mentions",
    "privac",
    "terms",
];

/// Whether redirects to this host are a challenge.
pub fn is_challenge_host(host: &str) -> bool {
    CHALLENGE_HOSTS.contains(&host)
}

pub(super) fn challenge(page: &View<'_>) -> Option<(Obstacle, String)> {
    for (name, value, who, what) in HEADERS {
        let says = page
            .header(name)
            .is_some_and(|have| have.to_ascii_lowercase().contains(value));
        if says {
            return Some((*what, format!("the header {name} of {who} says so")));
        }
    }
    let who_loads = |known: &[(&'static str, &'static str)]| {
        let parts: Vec<_> = known.iter().map(|(part, _)| *part).collect();
        let part = page.loads(&parts)?;
        known.iter().find(|(known, _)| *known == part).map(|(_, who)| *who)
    };
    let challenge = |why| Some((Obstacle::Challenge, why));
    if let Some(who) = who_loads(ONLY_CHALLENGES) {
        return challenge(format!("it loads what only challenges of {who} load"));
    }
    // Nothing but the challenge is on it, and no way on.
    if !page.is_thin(150, 0) || page.visible_fields() > 0 {
        return None;
    }
    let titled = CHALLENGE_TITLES.iter().any(|title| page.title.starts_with(title));
    let refused = matches!(page.status, 202 | 401 | 403 | 405 | 429 | 503);
    match who_loads(ALSO_CHALLENGES) {
        Some(who) if titled || refused || page.words.is_some_and(|words| words <= 25) => challenge(format!(
            "it loads what challenges of {who} load, and there is nothing else"
        )),
        _ if titled && (refused || !page.evidence.scripts.is_empty()) => {
            challenge("its title is that of a challenge, and there is nothing else".to_owned())
        }
        _ => None,
    }
}

pub(super) fn captcha(page: &View<'_>) -> Option<String> {
    let from = page.loads(CAPTCHAS)?;
    let asks = ARE_YOU_HUMAN
        .iter()
        .any(|question| page.title.contains(question) || page.text.contains(question));
    let refused = matches!(page.status, 401 | 403 | 405 | 429 | 503);
    let alone = page.is_thin(150, 0) && page.visible_fields() == 0;
    let from = from.trim_end_matches(['/', '.']);
    (alone && (asks || refused)).then(|| format!("it loads {from}, and there is nothing else"))
}

pub(super) fn consent(page: &View<'_>) -> Option<String> {
    let titled = CONSENT_TITLES.iter().any(|title| page.title.starts_with(title));
    let named = || {
        let mut parts = page.path.split('/');
        let host = page.host.split('.').next().unwrap_or_default();
        host == "consent" || parts.any(|part| CONSENT_PATHS.contains(&part))
    };
    if !(titled || named()) || !page.is_thin(250, 0) || page.login_form().is_some() {
        return None;
    }
    let has = |beginnings: &[&str]| {
        let mut words = page.text.split(|c: char| !c.is_alphabetic());
        words.any(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)))
    };
    let presses = page
        .evidence
        .forms
        .iter()
        .flat_map(|form| &form.submitters)
        .any(|button| {
            let text = button.text.to_lowercase();
            ACCEPT_WORDS.iter().any(|word| text.contains(word))
        });
    let asks = has(CONSENT_WORDS) && (has(ACCEPT_WORDS) || presses);
    asks.then(|| "it asks for consent, and there is nothing else; the site's `client.consent` can answer".to_owned())
}

pub(super) fn maintenance(page: &View<'_>) -> Option<String> {
    let title = page.title.as_str();
    let says = MAINTENANCE_TITLES.iter().any(|part| title.contains(part))
        || pieces(title).any(|piece| JUST_MAINTENANCE.contains(&piece));
    (says && page.is_thin(150, 1) && page.visible_fields() <= 1)
        .then(|| "its title says so, and there is nothing else".to_owned())
}

pub(super) fn is_missing_title(title: &str) -> bool {
    pieces(title).any(|piece| MISSING_TITLES.contains(&piece))
}

pub(super) fn is_login_title(title: &str) -> bool {
    pieces(title).any(|piece| LOGIN_TITLES.contains(&piece))
}

/// Whether people log in at such a path.
pub fn is_login_path(path: &str) -> bool {
    path.to_lowercase()
        .split(['/', '.', ';'])
        .any(|part| LOGIN_PATHS.contains(&part))
}

pub(super) fn is_legal_path(path: &str) -> bool {
    LEGAL_PATHS.iter().any(|part| path.contains(part))
}

/// The parts of a title: `Not found | Shop`, `Shop - Log in`.
fn pieces(title: &str) -> impl Iterator<Item = &str> {
    title
        .split(['|', '–', '—', '·', ':', '»', '«'])
        .flat_map(|piece| piece.split(" - "))
        .map(|piece| piece.trim_matches(|c: char| !c.is_alphanumeric()))
}
