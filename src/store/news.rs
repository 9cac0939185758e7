//! What the processes that share a store tell each other, so that nobody who waits has to ask again and again.
//!
//! It is a help and no promise: a word may be lost, and some stores pass none on. Who waits asks after a while anyway.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::scan::ScanId;

/// Something that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A scan has pages that wait.
    Pages(Arc<str>),
    /// There is a scan to be done, or one is to be done otherwise.
    Scans,
    /// Anything may have: nothing was heard for a while.
    Anything,
}

/// What is heard from the moment that it was made.
pub struct News(Option<Receiver<Word>>);

impl News {
    /// Nobody tells anything.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn of(words: Receiver<Word>) -> Self {
        Self(Some(words))
    }

    /// Waits until a scan may have new pages, for so long at most.
    pub async fn of_pages(&mut self, scan: &ScanId, patience: Duration) {
        self.hear(patience, |word| matches!(word, Word::Pages(of) if **of == *scan.0))
            .await;
    }

    /// Waits until there may be something to do, for so long at most.
    pub async fn of_scans(&mut self, patience: Duration) {
        self.hear(patience, |word| *word == Word::Scans).await;
    }

    async fn hear(&mut self, patience: Duration, wanted: impl Fn(&Word) -> bool) {
        let until = Instant::now() + patience;
        while let Some(words) = &mut self.0 {
            match tokio::time::timeout_at(until, words.recv()).await {
                Ok(Ok(word)) if !wanted(&word) && word != Word::Anything => {}
                Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => return,
                Ok(Err(RecvError::Closed)) => self.0 = None,
            }
        }
        tokio::time::sleep_until(until).await;
    }
}
