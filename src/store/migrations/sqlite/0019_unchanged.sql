-- How and when a page was looked at in full, if a later scan may take it as unchanged; and that this one did so.
ALTER TABLE pages ADD COLUMN looked_at INTEGER;
ALTER TABLE pages ADD COLUMN basis TEXT;
ALTER TABLE pages ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0;
