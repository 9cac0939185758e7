-- Which pages are alike by their URLs: closely, and loosely. NULL for pages that no budget of alike pages is for.
ALTER TABLE pages ADD COLUMN template TEXT;
ALTER TABLE pages ADD COLUMN family TEXT;

-- What answered in a page's place, in words; NULL if the page itself did.
ALTER TABLE pages ADD COLUMN obstacle TEXT;

CREATE INDEX pages_of_template ON pages (scan, template) WHERE state = 'waiting' AND template IS NOT NULL;
CREATE INDEX pages_of_family ON pages (scan, family) WHERE state = 'waiting' AND family IS NOT NULL;

-- The hosts of the organisation that a scan saw outside of its site, and the page on which each was seen first.
CREATE TABLE scan_hosts (
    scan INTEGER NOT NULL REFERENCES scans ON DELETE CASCADE,
    host TEXT NOT NULL,
    page TEXT NOT NULL,
    PRIMARY KEY (scan, host)
) STRICT, WITHOUT ROWID;
