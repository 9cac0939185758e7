//! Which programs may work with one store at the same time.
//!
//! Migrations add: tables, indexes, columns that may be left out. A program that does not know them works on beside those
//! that do, and may even be started. A migration that takes something away, or gives it another meaning, raises
//! [`LEAST`] to its own number; then older programs hear so with their next sign of life, give back what they have, and
//! end.

use sqlx::migrate::Migrator;

use super::{Result, StoreError};

/// The oldest set of tables, by its last migration, whose programs still work with ours.
pub(super) const LEAST: i64 = 0;

/// What a store says of the programs that may work with it.
pub(super) const ASK: &str = "SELECT least FROM installation WHERE id = 1";

/// Makes the installation if it is new, with its salt, and says which programs may still work with it.
pub(super) const SAY: &str = "INSERT INTO installation (id, salt, least) VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE \
     SET least = excluded.least WHERE installation.least < excluded.least";

/// Our set of tables, by its last migration.
pub(super) fn ours(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether programs of our version may work with a store that says so.
pub(super) fn fits(least: i64, migrations: &Migrator) -> Result<()> {
    if least <= ours(migrations) {
        Ok(())
    } else {
        Err(StoreError::Newer)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_statement_asks_for_columns_that_it_does_not_know() {
        let mut folders = vec![format!("{}/src/store", env!("CARGO_MANIFEST_DIR")).into()];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("versions.rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    let asks = |line: &&str| {
                        let all = ["SELECT *", "RETURNING *"].iter().any(|all| line.contains(all));
                        let of_one = line.match_indices(".*").any(|(at, _)| {
                            let before = line[..at].chars().next_back();
                            let alias = before.is_some_and(|before| before.is_ascii_lowercase());
                            alias && line.contains("SELECT")
                        });
                        all || of_one
                    };
                    assert_eq!(text.lines().find(asks), None, "{}", path.display());
                    read += 1;
                }
            }
        }
        assert!(read > 20, "{read}");
    }

    /// What was changed before there were programs of two versions.
    const BEFORE: i64 = 20;

    #[test]
    fn a_migration_that_does_more_than_add_shuts_older_programs_out() {
        for database in ["sqlite", "postgres"] {
            let folder = format!("{}/src/store/migrations/{database}", env!("CARGO_MANIFEST_DIR"));
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let number: i64 = name.split('_').next().unwrap().parse().unwrap();
                if number <= BEFORE {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
                let text = lines.collect::<Vec<_>>().join(" ");
                for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
                    let words = statement
                        .split_whitespace()
                        .map(str::to_ascii_uppercase)
                        .collect::<Vec<_>>();
                    let optional = !words.contains(&"NULL".to_owned()) || words.contains(&"DEFAULT".to_owned());
                    let adds = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                        ["CREATE", "TABLE" | "INDEX", ..] | ["DROP", "INDEX", ..] => true,
                        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => optional,
                        _ => false,
                    };
                    assert!(
                        adds || LEAST >= number,
                        "{name}: programs that do not know of this cannot go on; raise LEAST to {number}: {statement}"
                    );
                }
            }
        }
    }
}
