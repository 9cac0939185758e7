-- What time has made of a finding, JSON.
ALTER TABLE findings ADD COLUMN past TEXT NOT NULL DEFAULT '{}';

-- How a page answered and how much of it was seen; NULL for pages that were not looked at.
ALTER TABLE pages ADD COLUMN status INTEGER;
ALTER TABLE pages ADD COLUMN complete INTEGER;
ALTER TABLE pages ADD COLUMN forms INTEGER;
ALTER TABLE pages ADD COLUMN failed_checks TEXT; -- JSON array of ids; NULL for none

-- How much of its site a scan looked at, JSON. Written when it ends.
CREATE TABLE coverage (
    scan  INTEGER PRIMARY KEY REFERENCES scans ON DELETE CASCADE,
    whole INTEGER NOT NULL,
    data  TEXT NOT NULL
) STRICT;

-- The states of findings through time.
CREATE TABLE finding_events (
    seq         INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    at          INTEGER NOT NULL,
    scan        TEXT, -- NULL if a person brought it about
    from_state  TEXT, -- NULL if it was not known before
    to_state    TEXT NOT NULL,
    why         TEXT NOT NULL
) STRICT;

CREATE INDEX finding_events_by_finding ON finding_events (fingerprint, seq);

-- Decisions that findings are not to be reported. Those that were lifted stay, for the record.
CREATE TABLE suppressions (
    id          TEXT PRIMARY KEY,
    fingerprint TEXT,    -- of the one finding that it covers
    carried     TEXT,    -- the earlier fingerprint of that finding, if it was decided under that
    file_of     TEXT,    -- the site whose file says so
    matched     INTEGER, -- when a finding was covered by it last
    lifted      INTEGER,
    data        TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX suppressions_of_finding ON suppressions (fingerprint) WHERE fingerprint IS NOT NULL AND lifted IS NULL;
CREATE INDEX suppressions_of_many ON suppressions (id) WHERE fingerprint IS NULL AND lifted IS NULL;

-- Which finding adopted what was known under an earlier fingerprint: one for each.
CREATE TABLE finding_aliases (
    alias       TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;
