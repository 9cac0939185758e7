-- How often in a row a host has asked to be left alone, and until when it is.
ALTER TABLE hosts ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;

-- How long processes have worked on a scan, one after another, in milliseconds.
ALTER TABLE scans ADD COLUMN worked BIGINT NOT NULL DEFAULT 0;
