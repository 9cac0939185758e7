-- The session cookies that the browser held on some page of a scan, without their values.
CREATE TABLE scan_sessions (
    scan BIGINT NOT NULL REFERENCES scans ON DELETE CASCADE,
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    path TEXT NOT NULL,
    cookie TEXT NOT NULL,
    PRIMARY KEY (scan, name, domain, path)
);
