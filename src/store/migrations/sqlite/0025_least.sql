-- The oldest set of tables, by its last migration, whose programs may work with this store.
ALTER TABLE installation ADD COLUMN least INTEGER NOT NULL DEFAULT 0;
