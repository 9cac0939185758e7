//! GETs that look as if they changed something, and what says that it ends something or moves money.

use url::Url;

/// Words that end, remove or leave something.
const VERBS: &[&str] = &[
    "abmelden",
    "afmelden",
    "ausloggen",
    "cancel",
    "cikis",
    "deactivate",
    "deconnecter",
    "deconnexion",
    "delete",
    "destroy",
    "disable",
    "déconnecter",
    "déconnexion",
    "endsession",
    "erase",
    "kijelentkezes",
    "killsession",
    "logoff",
    "logout",
    "odhlasit",
    "odhlásit",
    "optout",
    "purge",
    "remove",
    "revoke",
    "signoff",
    "signout",
    "terminate",
    "uitloggen",
    "uninstall",
    "unregister",
    "unsubscribe",
    "wipe",
    "wyloguj",
    "çıkış",
];

/// The same if nothing else stands there: `/processes/kill/7`, but not `/films/kill-bill` and `/drop-shipping`.
const ALONE: &[&str] = &["drop", "kill", "truncate"];

/// Verbs that are written as two words, too.
const PAIRS: &[(&str, &str)] = &[
    ("log", "out"),
    ("log", "off"),
    ("sign", "out"),
    ("sign", "off"),
    ("opt", "out"),
    ("end", "session"),
    ("kill", "session"),
    ("cerrar", "sesion"),
    ("cerrar", "sesión"),
    ("encerrar", "sessao"),
    ("kirjaudu", "ulos"),
    ("logg", "ut"),
    ("logga", "ut"),
    ("log", "ud"),
];

/// Verbs that do something only to what stands beside them.
struct Deed {
    verbs: &'static [&'static str],
    /// In the singular, if a plural is the same word with an s.
    objects: &'static [&'static str],
    order: Order,
}

/// What stands first.
#[derive(PartialEq)]
enum Order {
    Either,
    /// The verb: who leaves a team does something, a team's leave is a calendar.
    Verb,
}

/// Verbs that end something only with what they end beside them: an account is closed for good, a menu is not.
const ENDS: &[Deed] = &[
    Deed {
        verbs: &[
            "auflösen",
            "cerrar",
            "chiudere",
            "chiudi",
            "close",
            "encerrar",
            "fechar",
            "fermer",
            "schliessen",
            "schließen",
            "sluiten",
            "zamknij",
        ],
        objects: ACCOUNTS,
        order: Order::Either,
    },
    Deed {
        verbs: &["end"],
        objects: ACCOUNTS,
        order: Order::Verb,
    },
    Deed {
        verbs: &["leave", "quit"],
        objects: TEAMS,
        order: Order::Verb,
    },
    Deed {
        verbs: &["verlassen"],
        objects: TEAMS,
        order: Order::Either,
    },
];

const ACCOUNTS: &[&str] = &[
    "abo",
    "abonnement",
    "account",
    "compte",
    "conta",
    "contract",
    "conto",
    "cuenta",
    "konto",
    "membership",
    "rekening",
    "subscription",
    "vertrag",
    "wallet",
];

const TEAMS: &[&str] = &[
    "companies",
    "company",
    "group",
    "gruppe",
    "organisation",
    "organization",
    "team",
    "workspace",
];

/// What makes another word of `end`: a front-end account is none that is ended.
const BEFORE_END: &[&str] = &[
    "back", "dead", "front", "high", "low", "month", "quarter", "rear", "week", "year",
];

/// The same of money, and of what belongs to somebody. A page where this is done may be visited.
const MOVES: &[Deed] = &[
    Deed {
        verbs: &[
            "authorise",
            "authorize",
            "confirm",
            "enviar",
            "envoyer",
            "invia",
            "make",
            "move",
            "pay",
            "release",
            "send",
            "senden",
            "submit",
            "transfer",
            "transferir",
            "wire",
            "withdraw",
            "überweisen",
        ],
        objects: &[
            "argent",
            "balance",
            "bitcoin",
            "cash",
            "credits",
            "crypto",
            "denaro",
            "dinero",
            "dinheiro",
            "funds",
            "geld",
            "money",
            "ownership",
            "payment",
            "payout",
            "transfer",
            "withdrawal",
        ],
        order: Order::Either,
    },
    Deed {
        verbs: &["jetzt", "pay", "zahlungspflichtig"],
        objects: &["bestellen", "bezahlen", "now"],
        order: Order::Either,
    },
    Deed {
        verbs: &["place"],
        objects: &["order"],
        order: Order::Either,
    },
];

/// What moves money if nothing stands beside it but how much and when.
const MOVES_ALONE: &[&str] = &["pay", "payout", "transfer", "withdraw", "überweisen", "überweisung"];

/// The same as addresses of what is made by sending something there. As a label these lead to lists.
const MADE_BY_SENDING: &[&str] = &["payouts", "transfers", "withdrawal", "withdrawals"];

/// Words that say how much or when, beside numbers.
const HOW_MUCH: &[&str] = &[
    "all",
    "alles",
    "aud",
    "brl",
    "btc",
    "cad",
    "chf",
    "cny",
    "czk",
    "dkk",
    "dollar",
    "dollars",
    "eth",
    "eur",
    "euro",
    "euros",
    "everything",
    "gbp",
    "heute",
    "huf",
    "immediately",
    "inr",
    "jetzt",
    "jpy",
    "kr",
    "max",
    "mxn",
    "nok",
    "now",
    "nzd",
    "pln",
    "pound",
    "pounds",
    "rs",
    "sek",
    "sofort",
    "today",
    "us",
    "usd",
    "zar",
    "zł",
];

/// Parts of a path that say how far something is, not what is done.
const STEPS: &[&str] = &["confirm", "do", "execute", "final", "step", "submit"];

/// Words that may stand between a verb and what it is done to.
const BETWEEN: &[&str] = &[
    "a", "an", "bank", "das", "den", "dein", "deine", "el", "il", "ihr", "la", "le", "ma", "mein", "meine", "mi",
    "mon", "my", "o", "our", "su", "the", "this", "tu", "tuo", "votre", "your",
];

/// Parts of a page that are closed for a while, whatever they are about.
const PARTS: &[&str] = &[
    "alert",
    "banner",
    "bar",
    "box",
    "card",
    "details",
    "dialog",
    "drawer",
    "dropdown",
    "form",
    "info",
    "list",
    "menu",
    "message",
    "modal",
    "nav",
    "navigation",
    "notice",
    "overlay",
    "page",
    "panel",
    "picker",
    "popover",
    "popup",
    "preview",
    "search",
    "section",
    "selector",
    "settings",
    "sidebar",
    "summary",
    "switcher",
    "tab",
    "tooltip",
    "view",
    "widget",
    "window",
];

/// Words that mean it at either end of a longer one: `dologout`, `logoutuser`, `deleteuser`; not `deleted`.
const AT_AN_END: &[&str] = &["delete", "logout", "signout", "unsubscribe"];

/// Parameters whose value names what is to be done, or the page that does it.
pub(super) const ACTIONS: &[&str] = &[
    "_method",
    "a",
    "act",
    "action",
    "cmd",
    "command",
    "controller",
    "do",
    "event",
    "func",
    "function",
    "method",
    "mode",
    "op",
    "operation",
    "p",
    "page",
    "path",
    "r",
    "route",
    "task",
    "view",
];

/// So many words are the title of an article, not a command: `how-to-delete-your-cookies`.
const PROSE: usize = 5;

/// Whether a GET of this URL looks as if it logged out, deleted or ended something.
///
/// Judged by words in the path and in what the query asks to be done. Too many is better than too few: what is left
/// out is listed as not checked.
pub fn looks_destructive(url: &Url) -> bool {
    // A fragment that is a route is a path of the page's own scripts.
    let route = url.fragment().unwrap_or_default();
    let mut segments = url.path().split('/').chain(route.split(['/', '?']));
    segments.any(|segment| names_deed(&decoded(segment)))
        || is_path_of(ENDS, url, false)
        || url.query_pairs().any(|(name, value)| {
            names_deed(&name)
                || (ACTIONS.contains(&name.to_lowercase().as_str()) && value.split('/').any(names_deed))
                || (name.eq_ignore_ascii_case("title") && is_special_page(&value))
        })
}

/// Whether sending something to this URL by a method that may change state looks as if it ended or removed something,
/// or moved money. The page at the same address may be one that only offers to.
pub fn looks_grave(url: &Url) -> bool {
    let moved = |part: &str| {
        let words = words(part);
        moves(part) || matches!(words.as_slice(), [word] if MADE_BY_SENDING.contains(&word.as_str()))
    };
    let ends_with = |parts: &[Part]| parts.last().is_some_and(|part| moved(&part.text));
    // What looks like an ending of a file may be the verb: `/api/money.send`.
    let written = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    looks_destructive(url)
        || moved(&decoded(written))
        || paths(url).iter().any(|parts| ends_with(parts))
        || is_path_of(ENDS, url, true)
        || is_path_of(MOVES, url, true)
}

/// A part of a path that names something.
#[derive(Clone)]
struct Part {
    text: String,
    /// Whether it is of one certain thing: an id followed in the path.
    of_one: bool,
}

/// The parts of a path without ids and the ending of a file, and the same without the steps of a process.
fn paths(url: &Url) -> [Vec<Part>; 2] {
    let mut parts: Vec<Part> = Vec::new();
    let path = url.path().trim_end_matches('/');
    let last = path.matches('/').count();
    for (at, part) in path.split('/').enumerate() {
        let part = decoded(part.split(';').next().unwrap_or_default());
        let text = if at == last { without_ending(&part) } else { &part };
        if text.is_empty() {
            continue;
        }
        match parts.last_mut() {
            Some(before) if is_id(text) => before.of_one = true,
            _ => parts.push(Part {
                text: text.to_owned(),
                of_one: false,
            }),
        }
    }
    let mut things = parts.clone();
    things.retain(|part| !is_step(&part.text));
    [parts, things]
}

/// A name of a file without its ending: `close.php`.
fn without_ending(name: &str) -> &str {
    let is_ending = |ending: &str| (1..=6).contains(&ending.len()) && ending.bytes().all(|c| c.is_ascii_alphanumeric());
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && is_ending(ending) => stem,
        _ => name,
    }
}

/// Whether a part of a path is an id: mostly digits, or a long number in base 16.
fn is_id(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let letters = part.chars().filter(|c| c.is_alphabetic()).count();
    let is_hex = part.len() >= 8 && part.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
    digits > 0 && (digits >= letters || is_hex)
}

/// Whether a part of a path only says how far something is: `confirm`, `step-2`.
fn is_step(part: &str) -> bool {
    let is = |word: &String| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        word.is_empty() || STEPS.contains(&word)
    };
    words(part).iter().all(is)
}

/// Whether the last two parts of a path are a verb and its object, each in one word: `/account/close`. What is sent is
/// judged more strictly than what is visited.
fn is_path_of(deeds: &[Deed], url: &Url, sent: bool) -> bool {
    paths(url).iter().any(|parts| {
        let [.., before, last] = parts.as_slice() else {
            return false;
        };
        let of_one = before.of_one;
        match (words(&before.text).as_slice(), words(&last.text).as_slice()) {
            ([before], [last]) => deeds.iter().any(|deed| deed.joins(before, last, sent || of_one)),
            _ => false,
        }
    })
}

impl Deed {
    /// Whether these words are its verb and an object of it. The verb may always stand first.
    fn joins(&self, first: &str, second: &str, either: bool) -> bool {
        let acts = |word: &str| self.verbs.contains(&word);
        let suffers = |word: &str| {
            self.objects.contains(&word) || word.strip_suffix('s').is_some_and(|one| self.objects.contains(&one))
        };
        (acts(first) && suffers(second)) || ((either || self.order == Order::Either) && suffers(first) && acts(second))
    }
}

/// Whether a title is that of a wiki's own page that ends something: `Special:UserLogout`, in whatever language. What
/// comes after a slash says of what: `Special:Log/delete` only shows it.
fn is_special_page(title: &str) -> bool {
    let page = title.split('/').next().unwrap_or_default();
    page.split_once(':').is_some_and(|(_, page)| names_deed(page))
}

/// Words on buttons and links that remove or end something, or leave an account, in further languages.
const SPOKEN: &[&str] = &[
    "afmelden",
    "borrar",
    "cancelar",
    "cancella",
    "descadastrar",
    "disconnetti",
    "eliminar",
    "elimina",
    "entfernen",
    "esci",
    "excluir",
    "fjern",
    "izbriši",
    "kustuta",
    "löschen",
    "loeschen",
    "obriši",
    "odjava",
    "odstranit",
    "poista",
    "radera",
    "rimuovi",
    "sair",
    "salir",
    "slet",
    "slett",
    "smazat",
    "supprimer",
    "effacer",
    "sil",
    "kaldır",
    "sterge",
    "șterge",
    "stornieren",
    "kündigen",
    "trash",
    "usuń",
    "usun",
    "vymazat",
    "verwijderen",
    "verwijder",
    "xóa",
    "törlés",
    "torles",
    "διαγραφή",
    "αποσύνδεση",
    "вийти",
    "видалити",
    "выйти",
    "выход",
    "изтрий",
    "изход",
    "обриши",
    "отписаться",
    "отменить",
    "удалить",
    "стереть",
    "حذف",
    "מחק",
    "התנתק",
    "יציאה",
];

/// The same, in writings that put no space between words, or where more than one is needed.
const WITHIN: &[&str] = &[
    "削除",
    "刪除",
    "删除",
    "移除",
    "ログアウト",
    "退会",
    "退出登录",
    "登出",
    "注销",
    "註銷",
    "로그아웃",
    "삭제",
    "탈퇴",
    "ออกจากระบบ",
    "ลบ",
    "تسجيل الخروج",
    "لغو عضویت",
    "लॉग आउट",
    "हटाएं",
    "đăng xuất",
    "ta bort",
    "se déconnecter",
    "cerrar sesión",
    "terminar sessão",
    "oturumu kapat",
];

/// Whether what is written on an element, or kept in its attributes, says that it ends, removes or leaves something.
/// `text` is what a person reads; `names` are identifiers, each maybe several.
pub fn reads_destructive(text: &str, names: &[String]) -> bool {
    says_deed(text) || moves(text) || names.iter().flat_map(|name| name.split_whitespace()).any(says_deed)
}

/// Whether a text says that money or what belongs to somebody goes to somebody else.
fn moves(text: &str) -> bool {
    let words = words(text);
    let (alone, beside): (Vec<&str>, Vec<&str>) = words
        .iter()
        .map(String::as_str)
        .partition(|word| MOVES_ALONE.contains(word));
    (alone.len() == 1 && beside.into_iter().all(is_how_much)) || does(MOVES, &words).next().is_some()
}

/// Whether a word is an amount, a currency or a time: `50`, `50k`, `eur50`, `now`.
fn is_how_much(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        || HOW_MUCH.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Where a verb and one of its objects have ended. In prose only what it begins with counts.
fn does<'a>(deeds: &'a [Deed], words: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let firsts = if words.len() >= PROSE { 1 } else { words.len() };
    (0..firsts).filter_map(move |first| {
        let between = (first + 1..words.len())
            .take_while(|&at| at <= first + 2 && BETWEEN.contains(&word(at)))
            .count();
        let second = first + 1 + between;
        let is_other = word(first) == "end" && first > 0 && BEFORE_END.contains(&word(first - 1));
        let is_done = !is_other && deeds.iter().any(|deed| deed.joins(word(first), word(second), false));
        is_done.then_some(second + 1)
    })
}

/// Whether something is ended, and not a part of a page closed.
fn ends(words: &[String]) -> bool {
    does(ENDS, words).any(|after| !words.get(after).is_some_and(|word| PARTS.contains(&word.as_str())))
}

fn says_deed(text: &str) -> bool {
    let lower = text.to_lowercase();
    names_deed(text) || WITHIN.iter().any(|word| lower.contains(word)) || {
        let words = words(&lower);
        let few = if words.len() >= PROSE { 1 } else { words.len() };
        words.iter().take(few).any(|word| SPOKEN.contains(&word.as_str()))
    }
}

/// A part of a path without escapes.
pub(super) fn decoded(segment: &str) -> String {
    // A plus is a plus in a path.
    let pair = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn names_deed(text: &str) -> bool {
    let words = words(text);
    if words.len() >= PROSE {
        return words.first().is_some_and(|word| VERBS.contains(&word.as_str()));
    }
    words.iter().any(|word| VERBS.contains(&word.as_str()))
        || matches!(words.as_slice(), [word] if ALONE.contains(&word.as_str()))
        || words
            .windows(2)
            .any(|pair| PAIRS.iter().any(|(first, second)| pair == [*first, *second]))
        || ends(&words)
        || words.iter().any(|word| is_two_words(word))
}

/// Whether one word is a deed and something else.
fn is_two_words(word: &str) -> bool {
    AT_AN_END
        .iter()
        .any(|verb| word.len() >= verb.len() + 2 && (word.starts_with(verb) || word.ends_with(verb)))
}

/// The words of an identifier or a slug, in lower case: `deleteUser_now` is delete, user, now.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in text.chars().take(300) {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && lower_before);
        lower_before = c.is_lowercase();
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
#[path = "destructive_tests.rs"]
mod tests;
