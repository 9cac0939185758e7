//! An application with accounts, a login of one or two steps, and pages behind it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use phantom_gang::demo::{Ask, Content, Reply};
use sha1::Sha1;

use super::{MATTERS, PASSWORD, PRIVATE, USER};

/// What the application is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ways {
    /// A second step with a code of the moment.
    pub otp: bool,
    /// The login is on another host.
    pub sso: bool,
    /// Only the account page shows that one is logged in.
    pub quiet: bool,
    /// A session ends after so many pages.
    pub pages_per_session: Option<usize>,
}

#[derive(Default)]
pub(super) struct Accounts {
    pub sessions: HashSet<String>,
    /// Between the two steps.
    pub half: HashSet<String>,
    pub tokens: HashSet<String>,
    pub made: usize,
    pub logins: usize,
    pub failures: usize,
    pub seen: usize,
}

impl Accounts {
    fn make(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}{:08x}{:08x}", self.made * 7_654_321, self.made * 123_457)
    }
}

#[derive(Clone, Default)]
pub(super) struct Application {
    pub ways: Ways,
    pub accounts: Arc<Mutex<Accounts>>,
}

impl Application {
    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap()
    }

    fn knows(&self, ask: &Ask<'_>) -> bool {
        let session = ask.cookie("sid").unwrap_or_default().to_owned();
        self.accounts().sessions.contains(&session)
    }

    fn login_form(&self, wrong: bool) -> Reply {
        let token = self.accounts().make("token");
        self.accounts().tokens.insert(token.clone());
        let wrong = if wrong { "<p class=error>Wrong</p>" } else { "" };
        Reply::html(format!(
            "<!doctype html><title>Log in</title>{wrong}<form method=post><input type=hidden name=csrf value={token}>\
             <label for=u>User name</label><input id=u name=user><input id=password name=password type=password>\
             <button type=submit>Log in</button></form>"
        ))
    }

    /// The first step of the login.
    fn credentials(&self, ask: &Ask<'_>) -> Reply {
        let token = ask.field("csrf").unwrap_or_default();
        let mut accounts = self.accounts();
        if !accounts.tokens.remove(&token) {
            return Reply::status(StatusCode::FORBIDDEN);
        }
        accounts.logins += 1;
        let right = ask.field("user").as_deref() == Some(USER) && ask.field("password").as_deref() == Some(PASSWORD);
        if !right {
            accounts.failures += 1;
            drop(accounts);
            return self.login_form(true);
        }
        if self.ways.otp {
            let half = accounts.make("half");
            accounts.half.insert(half.clone());
            return Reply::redirect(StatusCode::SEE_OTHER, "/otp")
                .header("set-cookie", &format!("half={half}; Path=/; Secure; HttpOnly"));
        }
        if self.ways.sso {
            let code = accounts.make("code");
            accounts.half.insert(code.clone());
            return Reply::redirect(
                StatusCode::SEE_OTHER,
                &format!("https://shop.test/callback?code={code}"),
            );
        }
        drop(accounts);
        self.begin("/account")
    }

    fn begin(&self, to: &str) -> Reply {
        let mut accounts = self.accounts();
        let session = accounts.make("session");
        accounts.sessions.insert(session.clone());
        accounts.seen = 0;
        Reply::redirect(StatusCode::SEE_OTHER, to).header(
            "set-cookie",
            &format!("sid={session}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        )
    }

    fn private(&self, ask: &Ask<'_>) -> Reply {
        if !self.knows(ask) {
            return Reply::redirect(StatusCode::FOUND, &format!("/login?next={}", ask.path));
        }
        let mut accounts = self.accounts();
        accounts.seen += 1;
        if self.ways.pages_per_session.is_some_and(|most| accounts.seen > most) {
            accounts.sessions.clear();
            return Reply::redirect(StatusCode::FOUND, "/login");
        }
        drop(accounts);
        let number: usize = ask.path.trim_start_matches("/private/").parse().unwrap_or_default();
        let about = MATTERS.get(number.wrapping_sub(1)).unwrap_or(&"nothing");
        // It repeats who is logged in, as many do, and worse.
        page(
            !self.ways.quiet,
            &format!("<p title='{USER}'>For {USER}: {about}</p><script>var me = '{USER}';</script>"),
        )
    }

    fn shop(&self, ask: &Ask<'_>) -> Reply {
        let post = ask.method == "POST";
        match ask.path {
            "/" => {
                let links: Vec<_> = (1..=PRIVATE).map(|n| format!("<a href=/private/{n}>{n}</a>")).collect();
                let links = links.join(" ");
                page(
                    self.knows(ask) && !self.ways.quiet,
                    &format!("<a href=/login>Log in</a> <a href=/about>About</a> {links}"),
                )
            }
            "/about" => page(false, "About"),
            "/login" if self.ways.sso => Reply::redirect(StatusCode::FOUND, "https://sso.test/auth?client=shop"),
            "/login" if post => self.credentials(ask),
            "/login" => self.login_form(false),
            "/otp" if post => {
                let half = ask.cookie("half").unwrap_or_default().to_owned();
                let known = self.accounts().half.remove(&half);
                let code = ask.field("otp").unwrap_or_default();
                if known && codes().contains(&code) {
                    self.begin("/account")
                } else {
                    self.accounts().failures += 1;
                    Reply::status(StatusCode::FORBIDDEN)
                }
            }
            "/otp" => Reply::html(
                "<!doctype html><title>Code</title><form method=post><input name=otp placeholder='Your code'>\
                 <button>Go on</button></form>",
            ),
            "/callback" => {
                let code = ask.query.trim_start_matches("code=").to_owned();
                let known = self.accounts().half.remove(&code);
                if known {
                    self.begin("/account")
                } else {
                    Reply::status(StatusCode::FORBIDDEN)
                }
            }
            "/account" if self.knows(ask) => {
                page(true, "Your account<script>fetch('/tick', { method: 'POST' })</script>")
            }
            "/account" => page(false, "<p id=please>Please log in</p>"),
            "/logout" | "/session/close" => {
                self.accounts().sessions.clear();
                page(false, "Bye")
            }
            path if path.starts_with("/private/") => self.private(ask),
            _ => Reply::status(StatusCode::NOT_FOUND),
        }
    }
}

pub(super) fn page(menu: bool, body: &str) -> Reply {
    let menu = if menu {
        "<nav id=account-menu><a href=/account>Account</a> <a href=/logout>Log out</a></nav>"
    } else {
        ""
    };
    Reply::html(format!("<!doctype html><title>Shop</title>{menu}{body}"))
}

impl Content for Application {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        match (ask.host, ask.path) {
            ("shop.test", _) => self.shop(ask),
            ("sso.test", "/auth") if ask.method == "POST" => self.credentials(ask),
            ("sso.test", "/auth") => self.login_form(false),
            _ => Reply::status(StatusCode::NOT_FOUND),
        }
    }
}

/// The codes of now and of the half minute before.
pub(super) fn codes() -> [String; 2] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30;
    [now, now - 1].map(|counter| {
        let mac = Hmac::<Sha1>::new_from_slice(b"12345678901234567890").unwrap();
        let tag = mac.chain_update(counter.to_be_bytes()).finalize().into_bytes();
        let at = usize::from(tag[19] & 0xf);
        let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    })
}
