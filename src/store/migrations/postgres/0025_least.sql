-- The oldest set of tables, by its last migration, whose programs may work with this store.
ALTER TABLE installation ADD COLUMN least BIGINT NOT NULL DEFAULT 0;
