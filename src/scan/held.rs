//! The pages of a scan that this process holds.
//!
//! The store may think that it holds more: the answer to a lease may be lost on its way, and a database that crashes may
//! forget the last pages that were recorded. So whoever says that it lives says what it holds, and the rest goes back.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crawl::{Lease, LeaseRequest};
use crate::store::{Result, Store};

#[derive(Default)]
struct Tokens(Mutex<HashSet<String>>);

impl Tokens {
    fn locked(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Holding {
    /// Between a lease that the store has given and the moment that it is held here, nobody says what is held.
    gate: tokio::sync::Mutex<()>,
    tokens: Arc<Tokens>,
}

impl Holding {
    /// Leases a page.
    pub async fn lease(&self, store: &dyn Store, request: &LeaseRequest<'_>) -> Result<Option<Held>> {
        let _gate = self.gate.lock().await;
        let Some(lease) = store.lease(request).await?.pop() else {
            return Ok(None);
        };
        self.tokens.locked().insert(lease.token.clone());
        Ok(Some(Held {
            lease,
            tokens: Arc::clone(&self.tokens),
        }))
    }

    /// The tokens of what is held. Nothing is leased as long as the guard is.
    pub async fn all(&self) -> (tokio::sync::MutexGuard<'_, ()>, Vec<String>) {
        let gate = self.gate.lock().await;
        let tokens = self.tokens.locked().iter().cloned().collect();
        (gate, tokens)
    }
}

/// A page that is held until this is dropped.
pub(super) struct Held {
    lease: Lease,
    tokens: Arc<Tokens>,
}

impl Deref for Held {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tokens.locked().remove(&self.lease.token);
    }
}
