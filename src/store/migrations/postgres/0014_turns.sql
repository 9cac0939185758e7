-- In which order the pages of one depth have their turn: what a limit leaves out must not depend on which page was
-- found first.
ALTER TABLE pages ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
DROP INDEX pages_waiting;
CREATE INDEX pages_waiting ON pages (scan, host, depth, turn, id) WHERE state = 'waiting';
