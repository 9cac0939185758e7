-- Many workers on one scan. Until when its process has it, if that does not say so again before; NULL if no process
-- ever took it, so that nobody takes over what is only about to begin.
ALTER TABLE scans ADD COLUMN owner_until BIGINT;

-- The workers that may have it.
ALTER TABLE scans ADD COLUMN pool TEXT COLLATE "C" NOT NULL DEFAULT 'default';

-- What a person wants of it, 'stop' or 'pause'.
ALTER TABLE scans ADD COLUMN wish TEXT COLLATE "C";

CREATE INDEX scans_running ON scans (started) WHERE state = 'running';

-- Who did what. Only ever added to.
CREATE TABLE audit (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    who     TEXT NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    why     TEXT
);

CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to';
END $$;

CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_stays();
CREATE TRIGGER audit_is_kept BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();
