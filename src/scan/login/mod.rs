//! The login of a running scan: made once, looked after with each page, made again when it is lost.
//!
//! Most pages of most sites show whether one is logged in, and cost nothing more. Where pages are silent the check page
//! is asked, at first after each of them, then after twice as many each time that nothing was wrong.

mod secrets;
mod totp;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

pub use secrets::LoginSecretError;
pub(crate) use secrets::Secrets;

use super::run::Run;
use super::{LoginEnd, LoginTurn, MOST_LOGIN_FAILURES, ScanError};
use crate::browser::{Action, RenderError, SessionState, Slot, Visit, Walk, WalkStep};
use crate::crawl::{PageKey, Template};
use crate::site::{Deed, Login};

/// How long one step may take.
const STEP: Duration = Duration::from_secs(15);
/// How long one step of a consent wall may take: where it is not, there is nothing to answer.
const CONSENT: Duration = Duration::from_secs(4);
/// Silent pages after which the check page is asked, at most.
const MOST_PATIENCE: usize = 32;
/// Pages that looked logged out and were not, after which such looks are not believed at once any more.
const MOST_FALSE_ALARMS: u32 = 8;
/// Logins of one scan, at most.
const MOST_LOGINS: u32 = 20;
/// A page under so much suspicion of ending the session is left alone. When a login is lost, it grows by one for the page
/// that showed it, and by two if that page came first after the login and no other may have been it.
const MOST_SUSPICION: u32 = 8;
/// How often it is asked whether another scan is through with the account.
const TURN_AGAIN: Duration = Duration::from_secs(1);
/// Tries to log in whose browser died.
const TRIES: u32 = 2;

/// What a page shows of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    In,
    Out,
    Silent,
}

/// What a page showed, and when it was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub sign: Sign,
    pub asked: Instant,
}

/// What is to become of a page after the login was looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It was seen logged in, as far as is known.
    In,
    /// It was seen logged out.
    Out,
    /// It is to be looked at again: the login was lost with it, and made again.
    Again,
    /// The login was lost with it too often.
    LeftAlone,
}

/// The login of a running scan.
pub(super) struct Keeper {
    login: Box<Login>,
    secrets: Secrets,
    consent: Vec<WalkStep>,
    /// Who logs in, or asks whether one is logged in.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logged_in: bool,
    /// Why not.
    failed: Option<String>,
    logins: u32,
    /// Counted up with each login, so that who waited for one sees that it is new.
    epoch: u32,
    /// Pages of which it is not known yet that they were seen logged in, and when they were seen.
    unsure: Vec<(PageKey, Instant)>,
    patience: usize,
    false_alarms: u32,
    /// Some page was seen logged in since the login.
    progress: bool,
    suspicion: HashMap<PageKey, u32>,
}

impl Keeper {
    pub fn new(login: Box<Login>, secrets: Secrets) -> Self {
        Self {
            login,
            secrets,
            consent: Vec::new(),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                patience: 1,
                ..State::default()
            }),
        }
    }

    /// The same, with what is done about consent walls after each login.
    pub fn consenting(self, consent: Vec<WalkStep>) -> Self {
        Self { consent, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the scan is not logged in.
    pub fn failed(&self) -> Option<String> {
        self.state().failed.clone()
    }

    pub fn is_in(&self) -> bool {
        self.state().logged_in
    }

    /// Logs in for the first time.
    pub async fn begin(&self, run: &Run, slot: &mut Slot) -> Result<(), ScanError> {
        let _turn = self.turn.lock().await;
        self.log_in(run, slot).await
    }

    /// What a page shows of the session; `None` if it is no page.
    pub fn sign(&self, asked: &Url, visit: &Visit) -> Option<Sign> {
        Some(match visit {
            Visit::Page(captured) => {
                let page = &captured.evidence.page;
                match page.logged_in {
                    Some(true) => Sign::In,
                    Some(false) => Sign::Out,
                    None if page.status == Some(401) || self.is_login_page(asked, &page.url) => Sign::Out,
                    None => Sign::Silent,
                }
            }
            Visit::LeftScope { to } => {
                let host = Url::parse(to).ok().and_then(|url| url.host_str().map(str::to_owned));
                host.filter(|host| self.login.hosts.contains(host))?;
                Sign::Out
            }
            _ => return None,
        })
    }

    /// A page that leads to where the login begins wants one.
    fn is_login_page(&self, asked: &Url, landed: &str) -> bool {
        let same = |one: &Url, other: &Url| one.origin() == other.origin() && one.path() == other.path();
        let Ok(landed) = Url::parse(landed) else { return false };
        let mut begins = self.login.steps.iter().filter_map(|step| match &step.deed {
            Deed::Go(url) => Some(url),
            _ => None,
        });
        !same(asked, &landed) && begins.any(|begins| same(begins, &landed))
    }

    /// Looks after the login when a page was seen.
    pub async fn after(&self, run: &Run, slot: &mut Slot, page: &PageKey, seen: Seen) -> Result<Kept, ScanError> {
        let Seen { sign, asked } = seen;
        let (ask, epoch) = {
            let mut state = self.state();
            if !state.logged_in {
                return Ok(if sign == Sign::In { Kept::In } else { Kept::Out });
            }
            if sign == Sign::In {
                state.sure_at(asked);
                return Ok(Kept::In);
            }
            state.unsure.push((page.clone(), Instant::now()));
            let alarmed = sign == Sign::Out && state.false_alarms < MOST_FALSE_ALARMS;
            (alarmed || state.unsure.len() >= state.patience, state.epoch)
        };
        if !ask {
            return Ok(Kept::In);
        }
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if state.epoch != epoch {
                // Somebody has logged in meanwhile; this page was seen before.
                return Ok(if state.logged_in { Kept::Again } else { Kept::Out });
            }
            if sign == Sign::Silent && state.unsure.len() < state.patience {
                return Ok(Kept::In);
            }
        }
        let asked = Instant::now();
        match self.ask(run, slot).await {
            Some(true) => {
                let mut state = self.state();
                state.sure_at(asked);
                if sign == Sign::Out {
                    state.false_alarms += 1;
                } else {
                    state.patience = (state.patience * 2).min(MOST_PATIENCE);
                }
                Ok(Kept::In)
            }
            Some(false) => self.lost(run, slot, Some(page)).await,
            None => Ok(Kept::In),
        }
    }

    /// Makes sure, at the end, that the last pages were seen logged in. True if pages wait again.
    pub async fn last_look(&self, run: &Run, slot: &mut Slot) -> Result<bool, ScanError> {
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if !state.logged_in || state.unsure.is_empty() {
                return Ok(false);
            }
        }
        let asked = Instant::now();
        match self.ask(run, slot).await {
            Some(true) => {
                self.state().sure_at(asked);
                Ok(false)
            }
            Some(false) => Ok(self.lost(run, slot, None).await? == Kept::Again),
            None => {
                self.fail(run, "whether it was still logged in at the end could not be asked");
                Ok(false)
            }
        }
    }

    /// The login is lost: it is made again, and what was seen since is looked at again.
    async fn lost(&self, run: &Run, slot: &mut Slot, page: Option<&PageKey>) -> Result<Kept, ScanError> {
        let often = page.is_some_and(|page| {
            let mut state = self.state();
            let alone = state.unsure.iter().all(|(other, _)| other == page);
            let more = if state.progress || !alone { 1 } else { 2 };
            let suspicion = state.suspicion.entry(page.clone()).or_default();
            *suspicion += more;
            *suspicion >= MOST_SUSPICION
        });
        if self.state().logins >= MOST_LOGINS {
            self.fail(run, &format!("the login was lost {MOST_LOGINS} times"));
            return Ok(Kept::Out);
        }
        run.remark("the login was lost and made again".to_owned());
        self.log_in(run, slot).await?;
        if !self.is_in() {
            return Ok(Kept::Out);
        }
        let unsure = std::mem::take(&mut self.state().unsure);
        let unsure: HashSet<PageKey> = unsure.into_iter().map(|(page, _)| page).collect();
        let unsure: Vec<_> = unsure.into_iter().filter(|one| Some(one) != page).collect();
        let reopened = run.store.reopen_pages(&run.scan, &unsure).await?;
        for _ in 0..reopened {
            run.give_page_back();
        }
        for url in unsure.iter().filter_map(|page| Url::parse(&page.0).ok()) {
            run.alike().give_back(&Template::of(&url));
        }
        run.changed.notify_waiters();
        Ok(if often { Kept::LeftAlone } else { Kept::Again })
    }

    fn fail(&self, run: &Run, why: &str) {
        let why = format!("not logged in as {}: {why}", self.login.account);
        run.remark(why.clone());
        let mut state = self.state();
        state.logged_in = false;
        state.epoch += 1;
        state.failed = Some(why);
    }

    /// Logs in. Whether that succeeded is in the state.
    async fn log_in(&self, run: &Run, slot: &mut Slot) -> Result<(), ScanError> {
        let account = &self.login.account;
        self.state().logins += 1;
        match self.turn_of(run).await? {
            LoginTurn::Go => {}
            LoginTurn::Wait => {
                self.fail(
                    run,
                    "the scan was stopped, or another one kept the account for too long",
                );
                return Ok(());
            }
            LoginTurn::Stopped => {
                self.fail(
                    run,
                    &format!(
                        "it failed {MOST_LOGIN_FAILURES} times and is stopped; correct its secrets, then scan with \
                         --unlock-account {account}"
                    ),
                );
                return Ok(());
            }
        }
        let mut shown = false;
        let mut tried = Err("its browser died".to_owned());
        for _ in 0..TRIES {
            let Some(ended) = run.stop.run_until_cancelled(self.try_in(run, slot, &mut shown)).await else {
                tried = Err("the scan was stopped".to_owned());
                break;
            };
            match ended {
                Ok(ended) => {
                    tried = ended;
                    break;
                }
                Err(RenderError::NoBrowser(error)) => {
                    run.store.end_login(account, LoginEnd::NotTried).await?;
                    return Err(error.into());
                }
                // A second try would be a second showing.
                Err(_) if shown => break,
                Err(error) => tried = Err(error.to_string()),
            }
        }
        let end = match (&tried, shown) {
            (Ok(()), _) => LoginEnd::Succeeded,
            (Err(_), true) => LoginEnd::Failed,
            (Err(_), false) => LoginEnd::NotTried,
        };
        run.store.end_login(account, end).await?;
        match tried {
            Ok(()) => {
                let mut state = self.state();
                state.logged_in = true;
                state.failed = None;
                state.epoch += 1;
                state.patience = 1;
                state.progress = false;
            }
            Err(why) => {
                run.pool.answer_servers(false);
                self.fail(run, &why);
            }
        }
        Ok(())
    }

    async fn turn_of(&self, run: &Run) -> Result<LoginTurn, ScanError> {
        // Whoever is logging in with it ends, or counts as dead, in that time.
        let tries = super::LOGIN_TAKES.as_secs() + 10;
        for _ in 0..tries {
            let turn = run.store.begin_login(&self.login.account, run.now()).await?;
            if turn != LoginTurn::Wait {
                return Ok(turn);
            }
            let waited = run.stop.run_until_cancelled(tokio::time::sleep(TURN_AGAIN)).await;
            if waited.is_none() {
                break;
            }
        }
        Ok(LoginTurn::Wait)
    }

    /// Tries to log in; the inner error is why it did not succeed.
    async fn try_in(&self, run: &Run, slot: &mut Slot, shown: &mut bool) -> Result<Result<(), String>, RenderError> {
        let login = &self.login;
        let given = match self.secrets.session(login).await {
            Ok(session) => session,
            Err(why) => return Ok(Err(why)),
        };
        // The site may be behind a server that asks by HTTP, and still have a login of its own.
        *shown |= login.http_auth.is_some();
        run.pool.answer_servers(true);
        run.pool.give_session(given.clone()).await;
        if !login.steps.is_empty() {
            let walk = self.walk(run, self.secrets.steps(&login.steps));
            let walked = slot.walk(&walk).await?;
            *shown |= walked.secret_shown;
            if let Some(failed) = walked.failed {
                return Ok(Err(failed.to_string()));
            }
        }
        match self.shows(run, slot).await? {
            Ok(true) => {}
            Ok(false) => {
                let check = &login.check;
                return Ok(Err(format!("{} does not show {}", check.url, check.logged_in)));
            }
            Err(why) => return Ok(Err(format!("{} could not be asked: {why}", login.check.url))),
        }
        let mut session = merged(given, slot.session().await);
        run.pool.give_session(session.clone()).await;
        if !self.consent.is_empty() {
            consent(run, slot, &self.consent).await?;
            session = merged(session, slot.session().await);
            run.pool.give_session(session).await;
        }
        Ok(Ok(()))
    }

    fn walk(&self, run: &Run, steps: Vec<WalkStep>) -> Walk {
        Walk {
            steps,
            may_visit: run.may_log_in(&self.login.hosts),
            guard: Arc::new(run.guard.logging_in(&self.login.hosts)),
            patience: STEP,
        }
    }

    async fn shows(&self, run: &Run, slot: &mut Slot) -> Result<Result<bool, String>, RenderError> {
        let check = &self.login.check;
        // Only the steps may change something: the check page is looked at as any other.
        let walk = Walk {
            guard: Arc::clone(&run.guard),
            ..self.walk(run, Vec::new())
        };
        run.wait_for_turn(&check.url).await;
        slot.shows(check.url.as_str(), &check.logged_in, check.logged_out.as_ref(), &walk)
            .await
    }

    /// Asks the check page; `None` if it gives no answer.
    async fn ask(&self, run: &Run, slot: &mut Slot) -> Option<bool> {
        for _ in 0..TRIES {
            let shows = run.stop.run_until_cancelled(self.shows(run, slot)).await?;
            match shows {
                Ok(Ok(shows)) => return Some(shows),
                Ok(Err(why)) => run.remark(format!("whether it is logged in could not be asked: {why}")),
                Err(error) => run.remark(format!("whether it is logged in could not be asked: {error}")),
            }
        }
        None
    }
}

impl State {
    /// One was logged in at that moment, and so were the pages that had been seen by then.
    fn sure_at(&mut self, moment: Instant) {
        self.unsure.retain(|(_, seen)| *seen > moment);
        self.progress = true;
    }
}

/// Answers a consent wall, as far as there is one.
pub(super) async fn consent(run: &Run, slot: &mut Slot, steps: &[WalkStep]) -> Result<(), RenderError> {
    let Some(start) = run.site.start.first() else {
        return Ok(());
    };
    let go = WalkStep {
        action: Action::Go(start.to_string()),
        frame: None,
        words: format!("go to {start}"),
    };
    let walk = Walk {
        steps: [vec![go], steps.to_vec()].concat(),
        may_visit: run.may_log_in(&[]),
        guard: Arc::clone(&run.guard),
        patience: CONSENT,
    };
    run.wait_for_turn(start).await;
    if let Some(failed) = slot.walk(&walk).await?.failed {
        run.remark(format!("client.consent, {failed}"));
    }
    Ok(())
}

/// A session, with what an earlier one kept for other origins.
pub(super) fn merged(before: SessionState, after: Option<SessionState>) -> SessionState {
    let Some(mut after) = after else { return before };
    let known: HashSet<String> = after.origins.iter().map(|origin| origin.origin.clone()).collect();
    let others = before
        .origins
        .into_iter()
        .filter(|origin| !known.contains(&origin.origin));
    after.origins.extend(others);
    after
}
