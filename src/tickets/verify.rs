//! A look at one finding: which finding a person means, and the comment that says what the look came to.

use jiff::Timestamp;
use serde::Serialize;

use super::gate::Gate;
use super::outbox::{ActionKind, ActionRecord, ActionState, Detail, Intent, TicketLink};
use super::perform::{Done, Recorded};
use super::reconcile::{Case, Reconciler, Trouble};
use super::worker::{Fence, PLANNED, Worker};
use crate::jira::{Block, Inline, Ticket, TicketView, cut, line};
use crate::scan::{Presence, Verified};
use crate::store::{Result, StoreError, TicketStore};
use crate::triage::{Finding, Fingerprint, named};

/// The first part of the occasion of a comment on a look.
const OCCASION: &str = "say-looked";
/// Characters of one text of a page in a comment.
const LONGEST_TEXT: usize = 500;

/// Why it is not clear which finding a person means.
#[derive(Debug, thiserror::Error)]
pub enum Unclear {
    /// No ticket has this key.
    #[error(
        "no ticket {0} is known here; `phantom tickets list` shows those there are, and `phantom tickets sync` reads \
         the new keys of those that were moved"
    )]
    NoTicket(String),
    /// The ticket is one of our own.
    #[error(
        "{0} is a notice of the scanner itself and stands for no finding; `phantom tickets list` shows those that do"
    )]
    Notice(String),
    /// No finding has this fingerprint.
    #[error(
        "no finding has a fingerprint that begins with {0:?}; `phantom findings list` shows those there are, `phantom \
         tickets list` the keys of their tickets"
    )]
    NoFinding(String),
    /// It may be any of several.
    #[error("{asked} may mean any of {count} findings: {some}; write more digits of one", some = some.join(", "))]
    Several {
        /// What was asked for.
        asked: String,
        /// How many.
        count: usize,
        /// The first of them.
        some: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The finding that a person means: by the key of one of its tickets, by its fingerprint, or by the first digits of
/// that. A fingerprint of an earlier definition of its cause counts, because a ticket may still show it.
pub async fn meant(store: &dyn TicketStore, asked: &str) -> std::result::Result<Finding, Unclear> {
    let findings = store.all_findings(None).await?;
    let mut links = Vec::new();
    for link in store.all_tickets().await? {
        if link.generation > 1 {
            links.extend(store.tickets_of(&link.fingerprint).await?);
        } else {
            links.push(link);
        }
    }
    one_of(asked.trim(), &findings, &links)
}

fn one_of(asked: &str, findings: &[Finding], links: &[TicketLink]) -> std::result::Result<Finding, Unclear> {
    // A fingerprint has no hyphen, and a key always has one.
    let found: Vec<&Finding> = if asked.contains('-') {
        let of: Vec<&Fingerprint> = links
            .iter()
            .filter(|link| link.issue_key.eq_ignore_ascii_case(asked))
            .map(|link| &link.fingerprint)
            .collect();
        if of.is_empty() {
            return Err(Unclear::NoTicket(asked.to_owned()));
        }
        let found: Vec<_> = findings.iter().filter(|one| of.contains(&&one.fingerprint)).collect();
        if found.is_empty() {
            return Err(Unclear::Notice(asked.to_owned()));
        }
        found
    } else {
        let own = named(findings, asked);
        if own.is_empty() { earlier(findings, asked) } else { own }
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Unclear::NoFinding(asked.to_owned())),
        many => Err(Unclear::Several {
            asked: asked.to_owned(),
            count: many.len(),
            some: many.iter().take(5).map(|one| one.fingerprint.to_string()).collect(),
        }),
    }
}

fn earlier<'a>(findings: &'a [Finding], digits: &str) -> Vec<&'a Finding> {
    let digits = digits.to_ascii_lowercase();
    let was = |one: &&Finding| one.past.aliases.iter().any(|alias| alias.0.starts_with(&digits));
    findings.iter().filter(|one| !digits.is_empty() && was(one)).collect()
}

/// What became of the comment on a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Commented {
    /// The ticket says so now.
    Said {
        /// The ticket's key.
        key: String,
    },
    /// The ticket said so already.
    SaidBefore {
        /// The ticket's key.
        key: String,
    },
    /// The next run that files tickets says so.
    Waits {
        /// The ticket's key.
        key: String,
        /// What stood in the way.
        why: String,
    },
    /// Jira refuses the comment.
    Refused {
        /// The ticket's key.
        key: String,
        /// What it objects to.
        why: String,
    },
    /// The ticket is not there any more, or hidden from us.
    Gone {
        /// The key it had.
        key: String,
    },
    /// The finding has no ticket.
    NoTicket,
}

impl Worker {
    /// Says in a finding's ticket what a look at it came to, once. Nothing else of the ticket is changed.
    ///
    /// # Errors
    /// When the store fails. What Jira does is the answer: what could not be sent waits in the outbox.
    pub async fn say_verified(&self, finding: &Finding, verified: &Verified) -> Result<Commented> {
        let Some(link) = self.store.ticket(&finding.fingerprint).await? else {
            return Ok(Commented::NoTicket);
        };
        let actions = self.store.actions(&finding.fingerprint).await?;
        let record = recorded(finding, verified, &actions, link.generation);
        let before = actions.iter().find(|action| action.key == record.key);
        if before.is_some_and(|action| action.state == ActionState::Sent) {
            return Ok(Commented::SaidBefore { key: link.issue_key });
        }
        let wish = self.wish_once(&finding.fingerprint).await?;
        let fence = Fence::new(self);
        let said = self.try_to_say(&fence, &link, before, &record).await;
        fence.release().await?;
        let key = link.issue_key;
        let why = match said {
            Ok(said) => {
                if let Some(wish) = wish {
                    self.store.finish_intent(&wish).await?;
                }
                return Ok(said);
            }
            Err(Trouble::Store(error)) => return Err(error),
            Err(Trouble::LostLease) => "another process is filing tickets from this store".to_owned(),
            Err(Trouble::Settling) => "it may have been sent; Jira is asked before it is sent again".to_owned(),
            Err(Trouble::Held(why, ..)) => why.words().to_owned(),
            Err(Trouble::Configuration(why)) => why,
            Err(Trouble::Jira(failure)) => failure.to_string(),
        };
        Ok(Commented::Waits { key, why })
    }

    /// Makes sure that a run comes by whatever becomes of this process. Returns the wish if it is ours alone.
    async fn wish_once(&self, fingerprint: &Fingerprint) -> Result<Option<Intent>> {
        let store = &self.store;
        let waiting = async || {
            let all = store.due_intents(Timestamp::MAX, PLANNED, None).await?;
            Ok::<_, StoreError>(all.into_iter().find(|one| one.fingerprint == *fingerprint))
        };
        if waiting().await?.is_some() {
            return Ok(None);
        }
        store.wish(std::slice::from_ref(fingerprint), self.clock.now()).await?;
        waiting().await
    }

    async fn try_to_say(
        &self,
        fence: &Fence<'_>,
        link: &TicketLink,
        before: Option<&ActionRecord>,
        record: &Recorded,
    ) -> std::result::Result<Commented, Trouble> {
        let gate = Gate::open(self.store.as_ref(), &self.config, self.clock.now()).await?;
        let reconciler = Reconciler {
            store: self.store.as_ref(),
            jira: &self.jira,
            config: &self.config,
            timing: &self.timing,
            clock: self.clock.as_ref(),
            fence,
            gate: &gate,
            revive_before: self.started,
        };
        if before.is_none() {
            // From here on it is said, if not by this process then by the next run.
            reconciler.record(record, ActionState::NotSent, None).await?;
        }
        let Ticket::Present(view) = reconciler.read(link).await? else {
            // If it comes back, it says so then.
            return Ok(Commented::Gone {
                key: link.issue_key.clone(),
            });
        };
        let done = reconciler.say_look(&view, before, record).await?;
        let key = view.key;
        Ok(match done {
            Done::Dead { error, .. } => Commented::Refused { key, why: error },
            _ => Commented::Said { key },
        })
    }
}

impl Reconciler<'_> {
    async fn say_look(
        &self,
        view: &TicketView,
        before: Option<&ActionRecord>,
        record: &Recorded,
    ) -> std::result::Result<Done, Trouble> {
        let verified = record.detail.as_ref().and_then(|detail| detail.verified.as_ref());
        let blocks = verified.map(|verified| said(verified, &view.key)).unwrap_or_default();
        self.comment(before, &view.id, blocks, record).await
    }

    /// Sends the comments on looks that could not be sent when they were due.
    pub(super) async fn say_what_waits(&self, case: &Case, view: &TicketView) -> std::result::Result<(), Trouble> {
        let waits = |action: &&ActionRecord| {
            action.generation == case.generation
                && action.kind == ActionKind::Comment
                && !matches!(action.state, ActionState::Sent | ActionState::Dead)
                && action.detail.as_ref().is_some_and(|detail| detail.verified.is_some())
        };
        for action in case.actions.iter().filter(waits) {
            let record = Recorded {
                key: action.key.clone(),
                fingerprint: action.fingerprint.clone(),
                generation: action.generation,
                kind: action.kind,
                detail: action.detail.clone(),
            };
            self.say_look(view, Some(action), &record).await?;
        }
        Ok(())
    }
}

/// The comment as it is recorded. The same answer is given once for as long as no scan has seen the finding since; an
/// answer that differs from the last one is given again.
fn recorded(finding: &Finding, verified: &Verified, actions: &[ActionRecord], generation: u32) -> Recorded {
    let stem = format!(
        "{}/{generation}/{OCCASION}/{}",
        finding.fingerprint,
        finding.last_seen.as_millisecond()
    );
    let answers = actions.iter().filter_map(|action| {
        let rest = action.key.strip_prefix(&stem)?.strip_prefix('-')?;
        let (number, answer) = rest.split_once('-')?;
        Some((number.parse::<u32>().ok()?, answer))
    });
    let answer = verified.presence.as_str();
    let number = match answers.max() {
        Some((number, last)) if last == answer => number,
        Some((number, _)) => number + 1,
        None => 1,
    };
    Recorded {
        key: format!("{stem}-{number}-{answer}"),
        fingerprint: finding.fingerprint.clone(),
        generation,
        kind: ActionKind::Comment,
        detail: Some(Detail {
            verified: Some(Box::new(verified.clone())),
            ..Detail::default()
        }),
    }
}

fn said(verified: &Verified, key: &str) -> Vec<Block> {
    let at = verified.at.strftime("%Y-%m-%d %H:%M UTC");
    let shown = |text: &str| cut(&line(text), LONGEST_TEXT);
    let why = verified.why.as_deref().map(shown).unwrap_or_default();
    let text = match verified.presence {
        Presence::StillThere => format!("Still there on {at}, on a page where it was looked for."),
        Presence::Gone => format!(
            "Gone on {at}: it was looked for where it had been seen, and was not there. Scans of the whole site say \
             whether it is fixed."
        ),
        Presence::CouldNotReach => {
            format!("Could not reach on {at}: {why}. That says nothing about whether it is there.")
        }
    };
    let pages = verified.pages.iter().map(|page| {
        let mut item = vec![
            Inline::Strong(page.presence.words().to_owned()),
            Inline::text(": "),
            Inline::Code(shown(&page.url)),
        ];
        item.extend(
            page.why
                .as_deref()
                .map(|why| Inline::text(format!(" ({})", shown(why)))),
        );
        item
    });
    let mut blocks = vec![Block::paragraph(text), Block::Bullets(pages.collect())];
    let mut again = vec![
        Inline::text("Looked at again with "),
        Inline::Code(format!("phantom verify {key}")),
    ];
    if let Some(scan) = &verified.scan {
        again.extend([Inline::text(" · scan "), Inline::Code(scan.to_string())]);
    }
    blocks.push(Block::Paragraph(again));
    if verified.pages.is_empty() {
        blocks.remove(1);
    }
    blocks
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
