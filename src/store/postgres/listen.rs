//! Telling the other processes of a database what has changed, and hearing it from them: `NOTIFY` and `LISTEN`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast::{Sender, channel};
use tokio_util::task::AbortOnDropHandle;

use super::super::news::{News, Word};
use super::{Connection, Result};
use crate::scan::ScanId;

const PAGES: &str = "phantom_pages";
const SCANS: &str = "phantom_scans";

/// Words that wait for who is slow to hear them; who misses some asks the store.
const MOST_WORDS: usize = 256;
/// Time between two tries to listen.
const AGAIN: Duration = Duration::from_secs(3);

/// What comes in, for all who wait in this process.
pub(super) struct Ear {
    words: Sender<Word>,
    /// Listens from when somebody waits for the first time.
    listening: OnceLock<AbortOnDropHandle<()>>,
}

impl Ear {
    pub fn new() -> Self {
        Self {
            words: channel(MOST_WORDS).0,
            listening: OnceLock::new(),
        }
    }

    pub fn news(&self, pool: &PgPool) -> News {
        let news = News::of(self.words.subscribe());
        self.listening.get_or_init(|| {
            let (pool, words) = (pool.clone(), self.words.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    if let Err(error) = listen(&pool, &words).await {
                        tracing::debug!(%error, "what other processes tell is not heard; it is asked for instead");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }))
        });
        news
    }
}

async fn listen(pool: &PgPool, words: &Sender<Word>) -> std::result::Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all([PAGES, SCANS]).await?;
    // Nobody listens, or all are gone: both are no trouble.
    let tell = |word| drop(words.send(word));
    tell(Word::Anything);
    loop {
        match listener.try_recv().await? {
            Some(heard) if heard.channel() == PAGES => tell(Word::Pages(Arc::from(heard.payload()))),
            Some(_) => tell(Word::Scans),
            // The connection was lost, and is made again.
            None => tell(Word::Anything),
        }
    }
}

/// Tells that a scan has pages that wait, once the transaction is committed.
pub(super) async fn tell_of_pages(connection: &mut Connection, scan: &ScanId) -> Result<()> {
    tell(connection, PAGES, &scan.0).await
}

/// Tells that there is a scan to be done, or one to be done otherwise.
pub(super) async fn tell_of_scans(connection: &mut Connection) -> Result<()> {
    tell(connection, SCANS, "").await
}

async fn tell(connection: &mut Connection, channel: &str, what: &str) -> Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(channel)
        .bind(what)
        .execute(connection)
        .await?;
    Ok(())
}
