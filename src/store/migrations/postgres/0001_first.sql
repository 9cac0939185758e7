-- Times are milliseconds since 1970 in UTC. Words (states, kinds) are those of the program's own types. Texts are
-- compared by their bytes, as the program does.
-- A scan and a page each have a small number, so that millions of rows do not repeat long ids.

CREATE TABLE installation (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    salt BYTEA NOT NULL
);

CREATE TABLE scans (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      TEXT COLLATE "C" NOT NULL UNIQUE,
    site    TEXT COLLATE "C" NOT NULL,
    spec    TEXT NOT NULL, -- the site as it was, JSON
    trigger TEXT COLLATE "C" NOT NULL,
    state   TEXT COLLATE "C" NOT NULL,
    started BIGINT NOT NULL,
    ended   BIGINT,
    remarks TEXT NOT NULL, -- JSON array of sentences
    owner   TEXT COLLATE "C" -- the process that a scan runs in; NULL when no process has it
);

CREATE INDEX scans_by_site ON scans (site, started);
CREATE INDEX scans_unfinished ON scans (started) WHERE state <> 'complete';

-- How many pages of a scan are in which state. Only the triggers below write it, so it cannot drift. Who changes pages
-- of a scan locks its row first: so the changes of one scan go one after another, and cannot wait for each other in a
-- circle.
CREATE TABLE scan_counts (
    scan    BIGINT PRIMARY KEY REFERENCES scans ON DELETE CASCADE,
    waiting BIGINT NOT NULL DEFAULT 0,
    leased  BIGINT NOT NULL DEFAULT 0,
    done    BIGINT NOT NULL DEFAULT 0,
    failed  BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE pages (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scan          BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    key           TEXT COLLATE "C" NOT NULL,
    url           TEXT COLLATE "C" NOT NULL,
    host          TEXT COLLATE "C" NOT NULL,
    depth         BIGINT NOT NULL,
    found_on      TEXT COLLATE "C",
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'leased', 'done', 'failed', 'skipped')),
    reason        TEXT,
    redirected_to TEXT COLLATE "C",
    alone         BOOLEAN NOT NULL DEFAULT false,
    crashes       BIGINT NOT NULL DEFAULT 0,
    -- Of the lease. They outlive it, until another worker leases the page or its fate is recorded.
    token         TEXT COLLATE "C",
    owner         TEXT COLLATE "C",
    lease_until   BIGINT,
    -- How the page answered and how much of it was seen; NULL for pages that were not looked at.
    status        BIGINT,
    complete      BOOLEAN,
    forms         BIGINT,
    failed_checks TEXT, -- JSON array of ids; NULL for none
    logged_in     BOOLEAN, -- NULL if the page does not show it
    -- What answered in the page's place, in words; NULL if the page itself did.
    obstacle      TEXT,
    -- Which pages are alike by their URLs: closely, and loosely. NULL for pages that no budget of alike pages is for.
    template      TEXT COLLATE "C",
    family        TEXT COLLATE "C",
    UNIQUE (scan, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX pages_waiting ON pages (scan, host, depth, id) WHERE state = 'waiting';
CREATE INDEX pages_leased ON pages (scan, lease_until) WHERE state = 'leased';
CREATE INDEX pages_of_template ON pages (scan, template) WHERE state = 'waiting' AND template IS NOT NULL;
CREATE INDEX pages_of_family ON pages (scan, family) WHERE state = 'waiting' AND family IS NOT NULL;
-- Leases on a host are counted, never kept as a number: a crash cannot leak one.
CREATE INDEX pages_leased_on_host ON pages (host, lease_until) WHERE state = 'leased';

CREATE FUNCTION count_scan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO scan_counts (scan) VALUES (new.seq);
    RETURN NULL;
END $$;

CREATE TRIGGER scans_are_counted AFTER INSERT ON scans FOR EACH ROW EXECUTE FUNCTION count_scan();

-- One change of the counts for each statement, however many pages it touches.
CREATE FUNCTION count_pages_in() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE scan_counts c SET
        waiting = c.waiting + d.waiting,
        leased  = c.leased  + d.leased,
        done    = c.done    + d.done,
        failed  = c.failed  + d.failed,
        skipped = c.skipped + d.skipped
    FROM (SELECT scan,
              count(*) FILTER (WHERE state = 'waiting') AS waiting,
              count(*) FILTER (WHERE state = 'leased')  AS leased,
              count(*) FILTER (WHERE state = 'done')    AS done,
              count(*) FILTER (WHERE state = 'failed')  AS failed,
              count(*) FILTER (WHERE state = 'skipped') AS skipped
          FROM added GROUP BY scan) d
    WHERE c.scan = d.scan;
    RETURN NULL;
END $$;

CREATE FUNCTION recount_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE scan_counts c SET
        waiting = c.waiting + d.waiting,
        leased  = c.leased  + d.leased,
        done    = c.done    + d.done,
        failed  = c.failed  + d.failed,
        skipped = c.skipped + d.skipped
    FROM (SELECT n.scan,
              sum((n.state = 'waiting')::int - (o.state = 'waiting')::int) AS waiting,
              sum((n.state = 'leased')::int  - (o.state = 'leased')::int)  AS leased,
              sum((n.state = 'done')::int    - (o.state = 'done')::int)    AS done,
              sum((n.state = 'failed')::int  - (o.state = 'failed')::int)  AS failed,
              sum((n.state = 'skipped')::int - (o.state = 'skipped')::int) AS skipped
          FROM changed n JOIN before o ON o.id = n.id WHERE o.state <> n.state GROUP BY n.scan) d
    WHERE c.scan = d.scan;
    RETURN NULL;
END $$;

CREATE FUNCTION count_pages_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE scan_counts c SET
        waiting = c.waiting - d.waiting,
        leased  = c.leased  - d.leased,
        done    = c.done    - d.done,
        failed  = c.failed  - d.failed,
        skipped = c.skipped - d.skipped
    FROM (SELECT scan,
              count(*) FILTER (WHERE state = 'waiting') AS waiting,
              count(*) FILTER (WHERE state = 'leased')  AS leased,
              count(*) FILTER (WHERE state = 'done')    AS done,
              count(*) FILTER (WHERE state = 'failed')  AS failed,
              count(*) FILTER (WHERE state = 'skipped') AS skipped
          FROM removed GROUP BY scan) d
    WHERE c.scan = d.scan;
    RETURN NULL;
END $$;

CREATE TRIGGER pages_counted_in AFTER INSERT ON pages
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_pages_in();
CREATE TRIGGER pages_recounted AFTER UPDATE ON pages
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recount_pages();
CREATE TRIGGER pages_counted_out AFTER DELETE ON pages
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_pages_out();

-- The pace of a host, shared by all scans and all processes. Who leases pages of a host locks its row.
CREATE TABLE hosts (
    host         TEXT COLLATE "C" PRIMARY KEY,
    next_allowed BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE evidence (
    page   BIGINT PRIMARY KEY REFERENCES pages ON DELETE CASCADE,
    scan   BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    stored BIGINT NOT NULL,
    data   BYTEA NOT NULL -- JSON, zstd
);

-- What is compressed already is not compressed again.
ALTER TABLE evidence ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE INDEX evidence_by_scan ON evidence (scan);
CREATE INDEX evidence_by_age ON evidence (stored);

CREATE TABLE bodies (
    hash TEXT COLLATE "C" PRIMARY KEY,
    data BYTEA NOT NULL -- UTF-8, zstd
);

ALTER TABLE bodies ALTER COLUMN data SET STORAGE EXTERNAL;

-- Which script texts the evidence of a scan names.
CREATE TABLE scan_bodies (
    scan BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scan, hash)
);

CREATE INDEX scan_bodies_by_hash ON scan_bodies (hash);

-- The hosts of the organisation that a scan saw outside of its site, and the page on which each was seen first.
CREATE TABLE scan_hosts (
    scan BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    host TEXT COLLATE "C" NOT NULL,
    page TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scan, host)
);

CREATE TABLE findings (
    fingerprint   TEXT COLLATE "C" PRIMARY KEY,
    site          TEXT COLLATE "C" NOT NULL,
    check_id      TEXT COLLATE "C" NOT NULL,
    check_version BIGINT NOT NULL,
    title         TEXT NOT NULL,
    severity      TEXT NOT NULL,
    confidence    TEXT NOT NULL,
    state         TEXT NOT NULL,
    cause         TEXT NOT NULL, -- JSON
    facts         TEXT NOT NULL, -- JSON
    third_party   BOOLEAN NOT NULL,
    first_seen    BIGINT NOT NULL,
    last_seen     BIGINT NOT NULL,
    first_scan    TEXT COLLATE "C" NOT NULL,
    last_scan     TEXT COLLATE "C" NOT NULL,
    past          TEXT NOT NULL DEFAULT '{}' -- what time has made of it, JSON
);

CREATE INDEX findings_by_site ON findings (site);

-- Which findings a scan saw, and on how many pages.
CREATE TABLE scan_findings (
    scan        BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    fingerprint TEXT COLLATE "C" NOT NULL,
    pages       BIGINT NOT NULL,
    PRIMARY KEY (scan, fingerprint)
);

-- What was observed on a page: one row for each of its findings.
CREATE TABLE finding_pages (
    scan        BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    fingerprint TEXT COLLATE "C" NOT NULL,
    page        BIGINT NOT NULL REFERENCES pages ON DELETE CASCADE,
    facts       TEXT NOT NULL, -- JSON
    PRIMARY KEY (scan, fingerprint, page)
);

CREATE INDEX finding_pages_by_page ON finding_pages (page);

-- A fulfilled wish stays with no due time, so that its revision only ever grows.
CREATE TABLE intents (
    fingerprint TEXT COLLATE "C" PRIMARY KEY REFERENCES findings,
    revision    BIGINT NOT NULL,
    due         BIGINT,
    attempts    BIGINT NOT NULL,
    held        TEXT -- why it waits although its time came; stays until it is fulfilled
);

CREATE INDEX intents_due ON intents (due) WHERE due IS NOT NULL;

CREATE TABLE tickets (
    fingerprint TEXT COLLATE "C" NOT NULL,
    generation  BIGINT NOT NULL,
    issue_id    TEXT NOT NULL,
    issue_key   TEXT COLLATE "C" NOT NULL,
    linked      BIGINT NOT NULL,
    closed      BIGINT, -- as far as is known; NULL if it is open
    PRIMARY KEY (fingerprint, generation)
);

CREATE TABLE actions (
    key         TEXT COLLATE "C" PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL,
    generation  BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    at          BIGINT NOT NULL,
    error       TEXT,
    detail      TEXT -- what it was about, JSON
);

CREATE INDEX actions_dead ON actions (at) WHERE state = 'dead';
CREATE INDEX actions_of_finding ON actions (fingerprint);
CREATE INDEX actions_create ON actions (at) WHERE kind = 'create';

-- The one lease on working the outbox.
CREATE TABLE outbox (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    owner TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);

-- Projects in which nothing is changed until a person says so.
CREATE TABLE holds (
    project  TEXT COLLATE "C" PRIMARY KEY,
    since    BIGINT NOT NULL,
    changes  BIGINT NOT NULL,
    tickets  BIGINT NOT NULL,
    released BIGINT
);

-- How much of its site a scan looked at, JSON. Written when it ends.
CREATE TABLE coverage (
    scan  BIGINT PRIMARY KEY REFERENCES scans ON DELETE CASCADE,
    whole BOOLEAN NOT NULL,
    data  TEXT NOT NULL
);

-- The states of findings through time.
CREATE TABLE finding_events (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    scan        TEXT COLLATE "C", -- NULL if a person brought it about
    from_state  TEXT, -- NULL if it was not known before
    to_state    TEXT NOT NULL,
    why         TEXT NOT NULL
);

CREATE INDEX finding_events_by_finding ON finding_events (fingerprint, seq);

-- Decisions that findings are not to be reported. Those that were lifted stay, for the record.
CREATE TABLE suppressions (
    id          TEXT COLLATE "C" PRIMARY KEY,
    fingerprint TEXT COLLATE "C", -- of the one finding that it covers
    carried     TEXT COLLATE "C", -- the earlier fingerprint of that finding, if it was decided under that
    file_of     TEXT COLLATE "C", -- the site whose file says so
    matched     BIGINT,           -- when a finding was covered by it last
    lifted      BIGINT,
    data        TEXT NOT NULL     -- JSON
);

CREATE INDEX suppressions_of_finding ON suppressions (fingerprint) WHERE fingerprint IS NOT NULL AND lifted IS NULL;
CREATE INDEX suppressions_of_many ON suppressions (id) WHERE fingerprint IS NULL AND lifted IS NULL;

-- Which finding adopted what was known under an earlier fingerprint: one for each.
CREATE TABLE finding_aliases (
    alias       TEXT COLLATE "C" PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL
);

-- The newest picture of what a finding is about.
CREATE TABLE pictures (
    fingerprint TEXT COLLATE "C" PRIMARY KEY,
    scan        BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    taken       BIGINT NOT NULL,
    width       BIGINT NOT NULL,
    height      BIGINT NOT NULL,
    png         BYTEA NOT NULL
);

CREATE INDEX pictures_by_scan ON pictures (scan);

-- Accounts that scans log in with. An attempt counts as failed until it is known not to be, so that a process that
-- dies in the middle of one cannot try for ever.
CREATE TABLE logins (
    account  TEXT COLLATE "C" PRIMARY KEY,
    failures BIGINT NOT NULL,
    -- When the attempt began that is still going on; NULL if there is none.
    begun    BIGINT
);
