-- The newest picture of what a finding is about.
CREATE TABLE pictures (
    fingerprint TEXT PRIMARY KEY,
    scan        INTEGER NOT NULL REFERENCES scans (seq) ON DELETE CASCADE,
    taken       INTEGER NOT NULL,
    width       INTEGER NOT NULL,
    height      INTEGER NOT NULL,
    png         BLOB NOT NULL
) STRICT;
