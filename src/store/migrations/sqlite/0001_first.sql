-- Times are milliseconds since 1970 in UTC. Words (states, kinds) are those of the program's own types.
-- A scan and a page each have a small number, so that millions of rows do not repeat long ids.

CREATE TABLE installation (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    salt BLOB NOT NULL
) STRICT;

CREATE TABLE scans (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    site    TEXT NOT NULL,
    spec    TEXT NOT NULL, -- the site as it was, JSON
    trigger TEXT NOT NULL,
    state   TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER,
    remarks TEXT NOT NULL  -- JSON array of sentences
) STRICT;

CREATE INDEX scans_by_site ON scans (site, started);
CREATE INDEX scans_unfinished ON scans (started) WHERE state <> 'complete';

-- How many pages of a scan are in which state. Only the triggers below write it, so it cannot drift.
CREATE TABLE scan_counts (
    scan    INTEGER PRIMARY KEY REFERENCES scans ON DELETE CASCADE,
    waiting INTEGER NOT NULL DEFAULT 0,
    leased  INTEGER NOT NULL DEFAULT 0,
    done    INTEGER NOT NULL DEFAULT 0,
    failed  INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER scans_are_counted AFTER INSERT ON scans BEGIN
    INSERT INTO scan_counts (scan) VALUES (new.seq);
END;

CREATE TABLE pages (
    id            INTEGER PRIMARY KEY,
    scan          INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    key           TEXT NOT NULL,
    url           TEXT NOT NULL,
    host          TEXT NOT NULL,
    depth         INTEGER NOT NULL,
    found_on      TEXT,
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'leased', 'done', 'failed', 'skipped')),
    reason        TEXT,
    redirected_to TEXT,
    alone         INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    -- Of the lease. They outlive it, until another worker leases the page or its fate is recorded.
    token         TEXT,
    owner         TEXT,
    lease_until   INTEGER,
    UNIQUE (scan, key)
) STRICT;

CREATE INDEX pages_waiting ON pages (scan, host, depth, id) WHERE state = 'waiting';
CREATE INDEX pages_leased ON pages (scan, lease_until) WHERE state = 'leased';
-- Leases on a host are counted, never kept as a number: a crash cannot leak one.
CREATE INDEX pages_leased_on_host ON pages (host, lease_until) WHERE state = 'leased';

CREATE TRIGGER pages_counted_in AFTER INSERT ON pages BEGIN
    UPDATE scan_counts SET
        waiting = waiting + (new.state = 'waiting'),
        leased  = leased  + (new.state = 'leased'),
        done    = done    + (new.state = 'done'),
        failed  = failed  + (new.state = 'failed'),
        skipped = skipped + (new.state = 'skipped')
    WHERE scan = new.scan;
END;

CREATE TRIGGER pages_recounted AFTER UPDATE OF state ON pages WHEN old.state <> new.state BEGIN
    UPDATE scan_counts SET
        waiting = waiting + (new.state = 'waiting') - (old.state = 'waiting'),
        leased  = leased  + (new.state = 'leased')  - (old.state = 'leased'),
        done    = done    + (new.state = 'done')    - (old.state = 'done'),
        failed  = failed  + (new.state = 'failed')  - (old.state = 'failed'),
        skipped = skipped + (new.state = 'skipped') - (old.state = 'skipped')
    WHERE scan = new.scan;
END;

CREATE TRIGGER pages_counted_out AFTER DELETE ON pages BEGIN
    UPDATE scan_counts SET
        waiting = waiting - (old.state = 'waiting'),
        leased  = leased  - (old.state = 'leased'),
        done    = done    - (old.state = 'done'),
        failed  = failed  - (old.state = 'failed'),
        skipped = skipped - (old.state = 'skipped')
    WHERE scan = old.scan;
END;

-- The pace of a host, shared by all scans and all processes.
CREATE TABLE hosts (
    host         TEXT PRIMARY KEY,
    next_allowed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    page   INTEGER PRIMARY KEY REFERENCES pages ON DELETE CASCADE,
    scan   INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    stored INTEGER NOT NULL,
    data   BLOB NOT NULL -- JSON, zstd
) STRICT;

CREATE INDEX evidence_by_scan ON evidence (scan);
CREATE INDEX evidence_by_age ON evidence (stored);

CREATE TABLE bodies (
    hash TEXT PRIMARY KEY,
    data BLOB NOT NULL -- UTF-8, zstd
) STRICT;

-- Which script texts the evidence of a scan names.
CREATE TABLE scan_bodies (
    scan INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    hash TEXT NOT NULL,
    PRIMARY KEY (scan, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX scan_bodies_by_hash ON scan_bodies (hash);

CREATE TABLE findings (
    fingerprint   TEXT PRIMARY KEY,
    site          TEXT NOT NULL,
    check_id      TEXT NOT NULL,
    check_version INTEGER NOT NULL,
    title         TEXT NOT NULL,
    severity      TEXT NOT NULL,
    confidence    TEXT NOT NULL,
    state         TEXT NOT NULL,
    cause         TEXT NOT NULL, -- JSON
    facts         TEXT NOT NULL, -- JSON
    third_party   INTEGER NOT NULL,
    first_seen    INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    first_scan    TEXT NOT NULL,
    last_scan     TEXT NOT NULL
) STRICT;

CREATE INDEX findings_by_site ON findings (site);

-- Which findings a scan saw, and on how many pages.
CREATE TABLE scan_findings (
    scan        INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    pages       INTEGER NOT NULL,
    PRIMARY KEY (scan, fingerprint)
) STRICT, WITHOUT ROWID;

-- What was observed on a page: one row for each of its findings.
CREATE TABLE finding_pages (
    scan        INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    page        INTEGER NOT NULL REFERENCES pages ON DELETE CASCADE,
    facts       TEXT NOT NULL, -- JSON
    PRIMARY KEY (scan, fingerprint, page)
) STRICT, WITHOUT ROWID;

CREATE INDEX finding_pages_by_page ON finding_pages (page);

-- A fulfilled wish stays with no due time, so that its revision only ever grows.
CREATE TABLE intents (
    fingerprint TEXT PRIMARY KEY REFERENCES findings,
    revision    INTEGER NOT NULL,
    due         INTEGER,
    attempts    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX intents_due ON intents (due) WHERE due IS NOT NULL;

CREATE TABLE tickets (
    fingerprint TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    issue_id    TEXT NOT NULL,
    issue_key   TEXT NOT NULL,
    linked      INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE actions (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    error       TEXT
) STRICT;

CREATE INDEX actions_dead ON actions (at) WHERE state = 'dead';

-- The one lease on working the outbox.
CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT;
