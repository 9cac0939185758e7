-- The process that a scan runs in, as it signs its leases; NULL when no process has it.
ALTER TABLE scans ADD COLUMN owner TEXT;
