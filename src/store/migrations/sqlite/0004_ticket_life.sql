-- What an action was about, JSON: the severity and pages that a text was given, the project, the check's version.
ALTER TABLE actions ADD COLUMN detail TEXT;

CREATE INDEX actions_of_finding ON actions (fingerprint);
CREATE INDEX actions_create ON actions (at) WHERE kind = 'create';

-- Why a wish waits although its time came: a cap, the baseline, the circuit breaker. Stays until it is fulfilled.
ALTER TABLE intents ADD COLUMN held TEXT;

-- When the ticket was closed, as far as is known; NULL if it is open.
ALTER TABLE tickets ADD COLUMN closed INTEGER;

-- Projects in which nothing is changed until a person says so.
CREATE TABLE holds (
    project  TEXT PRIMARY KEY,
    since    INTEGER NOT NULL,
    changes  INTEGER NOT NULL,
    tickets  INTEGER NOT NULL,
    released INTEGER
) STRICT, WITHOUT ROWID;
