//! What counts as an authenticity token.

use url::Url;

use crate::check::Subject;
use crate::evidence::{Charset, Field, Form, FreshPlace, FreshValue, ValueShape};
use crate::session_cookie::{is_sent, is_token_cookie};
use crate::shape::{is_random, measure};

/// Names of token fields, in lower case, letters and digits only. Names that contain `csrf` or `xsrf` count anyway.
const NAMES: &str = "\
    authenticitytoken requestverificationtoken token tokenkey formtoken formbuildid formkey formhash \
    wpnonce ajaxnonce nonce securitytoken securityhash sesskey struts struts.token strutstoken antiforgery \
    antiforgerytoken javaxfacesviewstate jakartafacesviewstate viewstate viewstategenerator eventvalidation \
    synchronizertoken syncronizertoken transactiontoken edittoken logintoken actiontoken posttoken postkey \
    anticsrf secrettoken requesttoken sectoken sessiontoken authkey yiitoken formid.token orgapachestrutstaglibhtmltoken \
    orgapachestrutstaglibhtmltokentoken ccmtoken creatortoken pagetoken stoken bitrixsessid sessid";

/// Names of hidden fields that hold an identifier or an address, which may well look random.
const IDENTIFIERS: &str = "\
    id uuid guid key ref next url uri path return returnto returnurl redirect redirecturi redirecturl continue back \
    goto dest destination target etag hash checksum digest version slug sku product item order cart file filename \
    image locale timestamp time date fingerprint sitekey publickey clientid trackingid utm gclid fbclid captcha \
    grecaptcharesponse hcaptcharesponse referrer referer";

/// What protects a form, as far as can be seen.
pub(super) struct Token<'e> {
    /// Where it stands; `None` where nothing can be compared: in an action's query, which is redacted.
    pub place: Option<FreshPlace>,
    /// The name of the field, `meta` element or cookie.
    pub name: &'e str,
    /// The hash of its value; empty if it is not known.
    pub hash: &'e str,
    /// It is a token by its name, not only by the look of its value.
    pub named: bool,
    /// Known software gives it to everybody without an account, and it acts for nobody: one's own is another.
    pub nobodys: bool,
}

/// The tokens that a form, or the document around it, carries.
pub(super) fn in_document<'e>(subject: &Subject<'e>, form: &'e Form) -> Vec<Token<'e>> {
    let hash = |value: Option<&'e ValueShape>| value.map_or("", |value| value.hash.as_str());
    let fields = form
        .fields
        .iter()
        .filter(|field| field.kind == "hidden" && !field.disabled && is_token(subject, field))
        .map(|field| Token {
            place: Some(FreshPlace::Field),
            name: &field.name,
            hash: hash(field.value.as_ref()),
            named: is_token_name(subject, &field.name) || is_token_itself(&field.name),
            nobodys: is_nobodys(field),
        });
    let metas = subject
        .evidence
        .metas
        .iter()
        .filter(|meta| {
            let holds = meta.value.as_ref().is_some_and(|value| value.length > 0)
                || meta.content.as_deref().is_some_and(|content| !content.is_empty());
            // `_csrf_header` and `csrf-param` only name the header and the field.
            let name = plain(&meta.name);
            let is_value = !name.ends_with("header") && !name.ends_with("param") && !name.ends_with("parameter");
            meta.frame == form.frame && holds && is_value && names_csrf(&name)
        })
        .map(|meta| Token {
            place: Some(FreshPlace::Meta),
            name: &meta.name,
            hash: hash(meta.value.as_ref()),
            named: true,
            nobodys: false,
        });
    fields.chain(metas).collect()
}

/// The tokens in a target's query, and the token cookies that would be sent to it.
pub(super) fn in_target<'e>(subject: &Subject<'e>, target: &Url) -> Vec<Token<'e>> {
    let in_query = target.query_pairs().any(|(name, value)| {
        let (charset, entropy) = measure(&value);
        let shape = ValueShape {
            hash: String::new(),
            length: u32::try_from(value.chars().count()).unwrap_or(u32::MAX),
            charset,
            entropy,
            ..ValueShape::default()
        };
        !value.is_empty() && (is_token_name(subject, &name) || looks_like_token(&name, &shape))
    });
    let query = in_query.then_some(Token {
        place: None,
        name: "",
        hash: "",
        named: true,
        nobodys: false,
    });
    let cookies = subject
        .evidence
        .cookies
        .iter()
        .filter(|cookie| is_token_cookie(&cookie.name.to_ascii_lowercase()) && is_sent(cookie, target))
        .map(|cookie| Token {
            place: Some(FreshPlace::Cookie),
            name: &cookie.name,
            hash: &cookie.value.hash,
            named: true,
            nobodys: false,
        });
    query.into_iter().chain(cookies).collect()
}

impl Token<'_> {
    /// Whether a new visitor gets the same one.
    pub(super) fn is_in(&self, values: &[FreshValue]) -> bool {
        values.iter().any(|value| {
            Some(value.place) == self.place
                && value.name == self.name
                && !self.hash.is_empty()
                && value.hash == self.hash
        })
    }
}

fn is_token(subject: &Subject<'_>, field: &Field) -> bool {
    if field.name.is_empty() || field.value.as_ref().is_some_and(|value| value.length == 0) {
        return false;
    }
    is_token_name(subject, &field.name)
        || field
            .value
            .as_ref()
            .is_some_and(|value| looks_like_token(&field.name, value))
        || is_token_itself(&field.name)
}

/// `MediaWiki` writes `+\` where nobody is logged in; `WordPress` has one nonce for all who are not.
fn is_nobodys(field: &Field) -> bool {
    let is_mark = |value: &ValueShape| value.length == 2 && value.charset == Charset::Ascii;
    field.value.as_ref().is_some_and(is_mark) || plain(&field.name).contains("wpnonce")
}

/// Joomla names its field by the token itself and gives it the value 1.
fn is_token_itself(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn is_token_name(subject: &Subject<'_>, name: &str) -> bool {
    is_surely_token(subject, name) || is_known_name(name)
}

/// Whether nothing else is called so: by what the site's file says, or by the name of what it is for.
pub(super) fn is_surely_token(subject: &Subject<'_>, name: &str) -> bool {
    let mut named_by_site = subject.site.csrf_token_fields.iter();
    named_by_site.any(|known| known.eq_ignore_ascii_case(name)) || names_csrf(&plain(name))
}

/// Whether tokens are called so; other things may be.
pub(super) fn is_known_name(name: &str) -> bool {
    let name = plain(name);
    NAMES.split_ascii_whitespace().any(|known| known == name)
        // Symfony and its like nest the field: `registration[_token]`.
        || name.ends_with("token") && !name.ends_with("accesstoken")
}

/// Whether a header of this name, in lower case, holds another site off: browsers let it through with leave only, and it
/// is there to be looked for, or it is what authenticates.
pub(super) fn is_guarding_header(name: &str) -> bool {
    let bare = plain(name);
    names_csrf(&bare) || bare.ends_with("token") || matches!(name, "x-requested-with" | "authorization")
}

fn names_csrf(name: &str) -> bool {
    name.contains("csrf") || name.contains("xsrf") || name == "authenticitytoken" || name == "requestverificationtoken"
}

pub(super) fn looks_like_token(name: &str, value: &ValueShape) -> bool {
    let name = plain(name);
    let is_identifier = IDENTIFIERS.split_ascii_whitespace().any(|known| known == name)
        || ["id", "uuid", "guid", "url", "uri", "hash", "checksum"]
            .iter()
            .any(|end| name.ends_with(end));
    !is_identifier && is_random(value)
}

/// A name without its case and punctuation: `__RequestVerificationToken` → `requestverificationtoken`.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
