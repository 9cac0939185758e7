//! What is known about vulnerable libraries, beside what is part of the program.

use super::{Backend, Result};
use crate::scan::StoredAdvisories;

const ONE: &str = "SELECT date, origin, text FROM advisories WHERE one = 1";

const KEEP: &str = "INSERT INTO advisories (one, date, origin, text) VALUES (1, $1, $2, $3) \
     ON CONFLICT (one) DO UPDATE SET date = excluded.date, origin = excluded.origin, text = excluded.text";

pub(super) async fn one(store: &Backend) -> Result<Option<StoredAdvisories>> {
    let row: Option<(String, String, String)> = sqlx::query_as(ONE).fetch_optional(&store.readers).await?;
    Ok(row.map(|(date, origin, text)| StoredAdvisories { date, origin, text }))
}

pub(super) async fn keep(store: &Backend, set: &StoredAdvisories) -> Result<()> {
    let mut writers = store.writer().await?;
    let mut tx = writers.durable().await?;
    sqlx::query(KEEP)
        .bind(&set.date)
        .bind(&set.origin)
        .bind(&set.text)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
