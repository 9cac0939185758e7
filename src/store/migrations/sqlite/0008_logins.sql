-- Accounts that scans log in with. An attempt counts as failed until it is known not to be, so that a process that
-- dies in the middle of one cannot try for ever.
CREATE TABLE logins (
    account  TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    -- When the attempt began that is still going on; NULL if there is none.
    begun    INTEGER
) STRICT, WITHOUT ROWID;

-- Whether a page was seen logged in; NULL if it does not show it.
ALTER TABLE pages ADD COLUMN logged_in INTEGER;
