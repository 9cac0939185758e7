//! What a form asks its visitor for.

use std::collections::BTreeSet;

use crate::evidence::{Field, Form, FormMethod};
use crate::observation::Severity;

/// The kinds of data that a form asks for, as causes name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sensitive {
    Card,
    Email,
    Identity,
    OneTimeCode,
    Password,
    Personal,
}

impl Sensitive {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Email => "email",
            Self::Identity => "identity",
            Self::OneTimeCode => "one-time-code",
            Self::Password => "password",
            Self::Personal => "personal",
        }
    }

    /// How bad it is that a stranger reads it.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Card | Self::Identity | Self::OneTimeCode | Self::Password => Severity::High,
            Self::Email | Self::Personal => Severity::Medium,
        }
    }
}

/// Words in names, ids and autocomplete tokens, by what they ask for. A phrase is looked for as whole words.
const PHRASES: &[(Sensitive, &[&str])] = &[
    (
        Sensitive::Card,
        &[
            "card number",
            "cardnumber",
            "card no",
            "credit card",
            "creditcard",
            "cc number",
            "ccnumber",
            "ccnum",
            "cvc",
            "cvv",
            "cvv2",
            "card code",
            "iban",
        ],
    ),
    (
        Sensitive::OneTimeCode,
        &[
            "otp",
            "totp",
            "one time code",
            "one time password",
            "onetimecode",
            "mfa code",
            "2fa",
            "two factor code",
            "tan",
        ],
    ),
    (Sensitive::Password, &["password", "passwd", "pwd", "passphrase"]),
    (
        Sensitive::Identity,
        &[
            "ssn",
            "social security",
            "passport",
            "passport number",
            "national id",
            "tax id",
        ],
    ),
    (Sensitive::Email, &["email", "e mail", "mail", "emailaddress"]),
    (
        Sensitive::Personal,
        &[
            "phone",
            "telephone",
            "tel",
            "mobile",
            "firstname",
            "first name",
            "lastname",
            "last name",
            "fullname",
            "full name",
            "surname",
            "given name",
            "family name",
            "birthday",
            "birthdate",
            "birth date",
            "date of birth",
            "dob",
            "bday",
            "street",
            "street address",
            "address line",
            "postcode",
            "postal code",
            "zip code",
            "zipcode",
        ],
    ),
];

/// What one field asks for, if that is sensitive. Fields that a visitor does not fill in ask for nothing.
pub(crate) fn sensitive(field: &Field) -> Option<Sensitive> {
    if field.disabled {
        return None;
    }
    match field.kind.as_str() {
        "password" => return Some(by_autocomplete(field).unwrap_or(Sensitive::Password)),
        "email" => return Some(Sensitive::Email),
        "tel" => return Some(by_words(field).unwrap_or(Sensitive::Personal)),
        kind if !is_typed(kind) => return None,
        _ => {}
    }
    by_autocomplete(field).or_else(|| by_words(field))
}

/// What a form asks for. `sent_only` leaves out the fields that have no name and so are not sent by the browser.
pub(crate) fn asked(form: &Form, sent_only: bool) -> BTreeSet<Sensitive> {
    form.fields
        .iter()
        .filter(|field| !sent_only || !field.name.is_empty())
        .filter_map(sensitive)
        .collect()
}

/// A form that sends one word or phrase to look for, and nothing of the visitor's.
pub(crate) fn is_search(form: &Form) -> bool {
    let typed: Vec<&Field> = form
        .fields
        .iter()
        .filter(|field| !field.disabled && is_typed(&field.kind))
        .collect();
    let [only] = typed.as_slice() else {
        return false;
    };
    if only.kind == "textarea" || sensitive(only).is_some() {
        return false;
    }
    let words = name_words(&[&only.name, &only.id]);
    let named = [
        "q",
        "s",
        "query",
        "search",
        "keyword",
        "keywords",
        "term",
        "find",
        "suche",
        "recherche",
    ]
    .iter()
    .any(|name| contains(&words, name));
    only.kind == "search" || named || action_path(form).contains("search")
}

/// A form whose purpose is to log in: a name and one password to be known already.
pub(crate) fn is_login(form: &Form) -> bool {
    let mut passwords = form
        .fields
        .iter()
        .filter(|field| field.kind == "password" && !field.disabled);
    let (Some(password), None) = (passwords.next(), passwords.next()) else {
        return false;
    };
    let typed = form
        .fields
        .iter()
        .filter(|field| !field.disabled && is_typed(&field.kind) && field.kind != "password")
        .count();
    // A server or a database may be asked for as well, where the page says itself whose name and password it wants.
    let named = password.autocomplete.contains("current-password")
        && form
            .fields
            .iter()
            .any(|field| is_typed(&field.kind) && field.autocomplete == "username");
    !password.autocomplete.contains("new-password") && (1..=if named { 4 } else { 2 }).contains(&typed)
}

/// The ways in which a form can be sent: where to and how, its own first, then those of its submitters.
pub(crate) fn targets(form: &Form) -> Vec<(&str, FormMethod)> {
    let mut targets = vec![(form.action.as_str(), form.method)];
    for submitter in &form.submitters {
        let target = (
            submitter.action.as_deref().unwrap_or(&form.action),
            submitter.method.unwrap_or(form.method),
        );
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

fn action_path(form: &Form) -> String {
    url::Url::parse(&form.action).map_or_else(|_| String::new(), |url| url.path().to_ascii_lowercase())
}

/// Whether a visitor types into a field of this kind.
fn is_typed(kind: &str) -> bool {
    matches!(
        kind,
        "" | "text" | "search" | "email" | "tel" | "url" | "number" | "password" | "date" | "month" | "textarea"
    ) || kind.contains('-')
}

fn by_autocomplete(field: &Field) -> Option<Sensitive> {
    field
        .autocomplete
        .split_ascii_whitespace()
        .find_map(|token| match token {
            "cc-number" | "cc-csc" | "cc-exp" | "cc-exp-month" | "cc-exp-year" | "cc-name" => Some(Sensitive::Card),
            "one-time-code" => Some(Sensitive::OneTimeCode),
            "current-password" | "new-password" => Some(Sensitive::Password),
            "email" => Some(Sensitive::Email),
            "name" | "given-name" | "family-name" | "tel" | "tel-national" | "street-address" | "address-line1"
            | "postal-code" | "bday" => Some(Sensitive::Personal),
            _ => None,
        })
}

fn by_words(field: &Field) -> Option<Sensitive> {
    let words = name_words(&[&field.name, &field.id]);
    PHRASES
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| contains(&words, phrase)))
        .map(|(kind, _)| *kind)
}

/// The words of names, in lower case, between single spaces and within them: `user[firstName]` → ` user first name `.
pub(crate) fn name_words(names: &[&str]) -> String {
    let mut words = String::from(" ");
    for name in names {
        let mut previous = ' ';
        for character in name.chars() {
            if character.is_ascii_uppercase() && previous.is_ascii_lowercase() {
                words.push(' ');
            }
            if character.is_alphanumeric() {
                words.extend(character.to_lowercase());
            } else if !words.ends_with(' ') {
                words.push(' ');
            }
            previous = character;
        }
        if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words
}

fn contains(words: &str, phrase: &str) -> bool {
    words
        .match_indices(phrase)
        .any(|(at, _)| words[..at].ends_with(' ') && words[at + phrase.len()..].starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, field};

    #[test]
    fn fields_are_classified_by_type_autocomplete_and_name() {
        use Sensitive::{Card, Email, Identity, OneTimeCode, Password, Personal};
        let table = [
            ("password", "x", "", Some(Password)),
            ("password", "x", "one-time-code", Some(OneTimeCode)),
            ("text", "user[password]", "", Some(Password)),
            ("text", "a", "cc-number", Some(Card)),
            ("text", "cardNumber", "", Some(Card)),
            ("tel", "cvv", "", Some(Card)),
            ("text", "otp", "", Some(OneTimeCode)),
            ("text", "passport_number", "", Some(Identity)),
            ("email", "x", "", Some(Email)),
            ("text", "customer-email", "", Some(Email)),
            ("tel", "x", "", Some(Personal)),
            ("text", "firstName", "", Some(Personal)),
            ("text", "q", "", None),
            ("text", "discardnumbers", "", None),
            ("text", "standard", "", None),
            ("hidden", "password", "", None),
            ("checkbox", "email", "", None),
            ("submit", "phone", "", None),
        ];
        for (kind, name, autocomplete, expected) in table {
            let mut field = field(kind, name);
            field.autocomplete = autocomplete.into();
            assert_eq!(sensitive(&field), expected, "{kind} {name} {autocomplete}");
        }
        let mut off = field("password", "p");
        off.disabled = true;
        assert_eq!(sensitive(&off), None);
    }

    #[test]
    fn search_and_login_are_told_apart() {
        let mut scene = Scene::new("https://case.test/");
        let mut made = |fields: &[Field]| scene.form(FormMethod::Post, "https://case.test/do", fields).clone();
        let search = made(&[field("text", "q"), field("hidden", "lang")]);
        assert!(is_search(&search) && !is_login(&search));
        let login = made(&[
            field("text", "user"),
            field("password", "p"),
            field("checkbox", "remember"),
        ]);
        assert!(is_login(&login) && !is_search(&login));
        let more = |autocomplete: &str| {
            let mut fields = [
                field("text", "server"),
                field("text", "user"),
                field("password", "p"),
                field("text", "db"),
            ];
            (fields[1].autocomplete, fields[2].autocomplete) = ("username".into(), autocomplete.into());
            fields
        };
        assert!(is_login(&made(&more("current-password"))) && !is_login(&made(&more(""))));
        let mut fresh = field("password", "p");
        fresh.autocomplete = "new-password".into();
        assert!(!is_login(&made(&[field("email", "e"), fresh])));
        assert!(!is_login(&made(&[field("password", "a"), field("password", "b")])));
        assert!(!is_search(&made(&[field("text", "q"), field("text", "comment")])));
    }
}
