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

/// Verbs that end something only with what they end beside them: an account is closed for good, a menu is not.
const ENDS: &[(&[&str], &[&str])] = &[
    (
        &[
            "auflösen",
            "cerrar",
            "chiudere",
            "chiudi",
            "close",
            "encerrar",
            "end",
            "fechar",
            "fermer",
            "schliessen",
            "schließen",
            "sluiten",
            "zamknij",
        ],
        &[
            "abo",
            "abonnement",
            "account",
            "accounts",
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
        ],
    ),
    (
        &["leave", "quit", "verlassen"],
        &[
            "company",
            "group",
            "gruppe",
            "organisation",
            "organization",
            "team",
            "workspace",
        ],
    ),
];

/// The same of money, and of what belongs to somebody. A page where this is done may be visited.
const MOVES: &[(&[&str], &[&str])] = &[
    (
        &[
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
        &[
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
    ),
    (
        &["jetzt", "pay", "zahlungspflichtig"],
        &["bestellen", "bezahlen", "now"],
    ),
    (&["place"], &["order"]),
];

/// What moves money if nothing else stands there.
const MOVES_ALONE: &[&str] = &["payout", "transfer", "withdraw", "überweisen", "überweisung"];

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
        || does(ENDS, &last_two(url))
        || url.query_pairs().any(|(name, value)| {
            names_deed(&name)
                || (ACTIONS.contains(&name.to_lowercase().as_str()) && value.split('/').any(names_deed))
                || (name.eq_ignore_ascii_case("title") && is_special_page(&value))
        })
}

/// Whether sending something to this URL by a method that may change state looks as if it ended or removed something,
/// or moved money. The page at the same address may be one that only offers to.
pub fn looks_grave(url: &Url) -> bool {
    let last = url
        .path_segments()
        .and_then(Iterator::last)
        .map(decoded)
        .unwrap_or_default();
    looks_destructive(url) || moves(&last) || does(MOVES, &last_two(url))
}

/// The words of the last two parts of a path, if each is one word: `/account/close`.
fn last_two(url: &Url) -> Vec<String> {
    let path = url.path().trim_end_matches('/');
    let parts: Vec<Vec<String>> = path.rsplit('/').take(2).map(|part| words(&decoded(part))).collect();
    match parts.as_slice() {
        [last, before] if last.len() == 1 && before.len() == 1 => [before.as_slice(), last].concat(),
        _ => Vec::new(),
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
    does(MOVES, &words) || matches!(words.as_slice(), [word] if MOVES_ALONE.contains(&word.as_str()))
}

/// Whether one of the verbs is done to one of its objects, in whatever order. In prose only what it begins with counts.
fn does(deeds: &[(&[&str], &[&str])], words: &[String]) -> bool {
    let is = |list: &[&str], at: usize| words.get(at).is_some_and(|word| list.contains(&word.as_str()));
    let firsts = if words.len() >= PROSE { 1 } else { words.len() };
    (0..firsts).any(|first| {
        let between = (first + 1..words.len())
            .take_while(|&at| at <= first + 2 && is(BETWEEN, at))
            .count();
        let second = first + 1 + between;
        let pair = |(verbs, objects): &(&[&str], &[&str])| {
            (is(verbs, first) && is(objects, second)) || (is(objects, first) && is(verbs, second))
        };
        deeds.iter().any(pair) && !is(PARTS, second + 1)
    })
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
        || does(ENDS, &words)
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
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_in_many_languages() {
        let cases = [
            ("Delete", true),
            ("Konto löschen", true),
            ("Supprimer", true),
            ("Удалить аккаунт", true),
            ("アカウントを削除", true),
            ("Se déconnecter", true),
            ("Ta bort", true),
            ("Log out", true),
            ("Abmelden", true),
            ("로그아웃", true),
            ("How to delete your cookies today", false),
            ("Delete all of these five things", true),
            ("More", false),
            ("Weiter", false),
            ("Silver", false),
            ("Next", false),
            ("", false),
            ("Salire", false),
            ("Close account", true),
            ("Close my account", true),
            ("Konto schließen", true),
            ("Mein Konto auflösen", true),
            ("Fermer mon compte", true),
            ("End membership", true),
            ("Leave this team", true),
            ("Deactivate", true),
            ("Send money", true),
            ("Send money to Ann", true),
            ("Transfer", true),
            ("Transfer funds", true),
            ("Make a transfer", true),
            ("Confirm payment", true),
            ("Geld senden", true),
            ("Überweisen", true),
            ("Withdraw", true),
            ("Transfer ownership", true),
            ("Pay now", true),
            ("Place order", true),
            ("Close", false),
            ("Close menu", false),
            ("Close dialog", false),
            ("Close account menu", false),
            ("Close the account settings", false),
            ("Close group", false),
            ("Leave a comment", false),
            ("Send", false),
            ("Send message", false),
            ("Transfer files", false),
            ("Transfer speed", false),
            ("Payment methods", false),
            ("How to send money abroad", false),
            ("Money", false),
            ("Account", false),
            ("Order now", false),
        ];
        for (text, expected) in cases {
            assert_eq!(reads_destructive(text, &[]), expected, "{text}");
        }
        let names = ["btn btn-danger js-delete-item large round wide".to_owned()];
        assert!(reads_destructive("", &names));
        assert!(reads_destructive("", &["fa fa-trash".to_owned()]));
        assert!(reads_destructive("x", &["account.deleteUser(7)".to_owned()]));
        assert!(!reads_destructive("Go", &["btn btn-primary next".to_owned()]));
    }

    #[test]
    fn deeds_are_told_from_pages_about_them() {
        let cases = [
            ("/logout", true),
            ("/Logout.aspx", true),
            ("/connect/endsession", true),
            ("/abmelden", true),
            ("/d%C3%A9connexion", true),
            ("/cerrar-sesion", true),
            ("/log-out?next=/", true),
            ("/account/sign_out", true),
            ("/users/7/delete", true),
            ("/index.php?route=/server/processes/kill/7", true),
            ("/films/kill-bill", false),
            ("/deleteUser?id=7", true),
            ("/userdelete.php", true),
            ("/doLogout", true),
            ("/l%6fgout", true),
            ("/cart/remove/7", true),
            ("/newsletter/unsubscribe/abc", true),
            ("/orders/7/cancel", true),
            ("/index.php?action=delete&id=7", true),
            ("/index.php?page=logout", true),
            ("/?r=site/logout", true),
            ("/?_method=DELETE", true),
            ("/index.php?title=Special:UserLogout&returnto=Main+Page", true),
            ("/index.php?title=Spezial%3AAbmelden", true),
            ("/index.php?title=Special:Log/delete", false),
            ("/index.php?title=How_to_delete", false),
            ("/index.php?title=Special:DeletedContributions", false),
            ("/cart?remove_item=7", true),
            ("/a?logout", true),
            ("/a;b=1/delete;c=2", true),
            ("/", false),
            ("/login", false),
            ("/blog/2024/how-to-delete-your-cookies", false),
            ("/search?q=delete", false),
            ("/deleted", false),
            ("/removal", false),
            ("/cancellation-policy", false),
            ("/catalogue/outdoor", false),
            ("/blogoutput", false),
            ("/logoutuser", true),
            ("/sign/outside", false),
            ("/account/close", true),
            ("/closeAccount", true),
            ("/close-account?id=7", true),
            ("/teams/leave", false),
            ("/team/leave", true),
            ("/menu/close", false),
            ("/close", false),
            ("/transfer", false),
            ("/send-money", false),
            ("/account/closed", false),
        ];
        for (path, expected) in cases {
            let url = Url::parse("https://shop.example").unwrap().join(path).unwrap();
            assert_eq!(looks_destructive(&url), expected, "{path}");
        }
    }

    #[test]
    fn what_moves_money_may_be_looked_at_and_not_sent() {
        for (path, expected) in [
            ("/transfer", true),
            ("/api/payout", true),
            ("/send-money", true),
            ("/money/send", true),
            ("/account/close", true),
            ("/users/7/delete", true),
            ("/comments", false),
            ("/transfer-speed", false),
            ("/settings/save", false),
            ("/search?q=transfer", false),
        ] {
            let url = Url::parse("https://shop.example").unwrap().join(path).unwrap();
            assert_eq!(looks_grave(&url), expected, "{path}");
        }
    }
}
