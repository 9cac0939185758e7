-- Forms that a scan has sent from another origin, by action and name of the token (empty: none). Without an answer it is
-- being tried, or was when its process ended.
CREATE TABLE replays (
    scan BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    form TEXT NOT NULL,
    token TEXT NOT NULL,
    answer TEXT,
    PRIMARY KEY (scan, form, token)
);
