-- The one set of advisories on libraries that was fetched last, as the program reads it.
CREATE TABLE advisories (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    date   TEXT NOT NULL,
    origin TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;
