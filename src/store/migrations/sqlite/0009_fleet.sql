-- Many workers on one scan. Until when its process has it, if that does not say so again before; NULL if no process
-- ever took it, so that nobody takes over what is only about to begin.
ALTER TABLE scans ADD COLUMN owner_until INTEGER;

-- The workers that may have it.
ALTER TABLE scans ADD COLUMN pool TEXT NOT NULL DEFAULT 'default';

-- What a person wants of it, 'stop' or 'pause'.
ALTER TABLE scans ADD COLUMN wish TEXT;

CREATE INDEX scans_running ON scans (started) WHERE state = 'running';

-- Who did what. Only ever added to.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    why     TEXT
) STRICT;

CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
