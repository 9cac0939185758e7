//! Statements that PostgreSQL says in its own way: those that take many rows at once, as JSON.

pub mod aliases {
    pub const MOVE_SUPPRESSIONS: &str = "UPDATE suppressions SET fingerprint = $2, carried = $1, \
         data = jsonb_set(data::jsonb, '{scope,fingerprint}', to_jsonb($2))::text WHERE fingerprint = $1";
}

pub mod complete {
    pub const NAME_BODIES: &str = "INSERT INTO scan_bodies (scan, hash) \
         SELECT $1, j.value FROM json_array_elements_text($2::json) j(value) ON CONFLICT DO NOTHING";

    pub const NAME_HOSTS: &str = "INSERT INTO scan_hosts (scan, host, page) \
         SELECT $1, j.value, $3 FROM json_array_elements_text($2::json) j(value) ON CONFLICT DO NOTHING";

    /// The script texts that this scan has named already: they are there, and pruning leaves them alone.
    pub const HELD_BODIES: &str = "SELECT b.hash FROM scans s JOIN scan_bodies n ON n.scan = s.seq \
         JOIN bodies b ON b.hash = n.hash \
         WHERE s.id = $1 AND n.hash = ANY (ARRAY(SELECT json_array_elements_text($2::json)))";
}

pub mod evidence {
    pub const BODIES: &str = "SELECT b.hash, b.data FROM bodies b \
         WHERE b.hash = ANY (ARRAY(SELECT json_array_elements_text($1::json)))";
}

pub mod findings {
    /// Findings by fingerprint, and whether a scan has seen them.
    pub const KNOWN: &str = concat!(
        "SELECT ",
        columns_of_finding!(),
        ", n.fingerprint IS NOT NULL AS in_scan FROM findings f \
         LEFT JOIN scan_findings n ON n.scan = $2 AND n.fingerprint = f.fingerprint \
         WHERE f.fingerprint = ANY (ARRAY(SELECT json_array_elements_text($1::json)))"
    );

    pub const SAVE: &str = "INSERT INTO findings (fingerprint, site, check_id, check_version, title, severity, \
             confidence, state, cause, facts, third_party, first_seen, last_seen, first_scan, last_scan, past) \
         SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, (j.value ->> 3)::bigint, j.value ->> 4, j.value ->> 5, \
             j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, (j.value ->> 10)::int::boolean, \
             (j.value ->> 11)::bigint, (j.value ->> 12)::bigint, j.value ->> 13, j.value ->> 14, j.value ->> 15 \
         FROM json_array_elements($1::json) j(value) ON CONFLICT (fingerprint) DO UPDATE SET \
             check_version = excluded.check_version, title = excluded.title, severity = excluded.severity, \
             confidence = excluded.confidence, state = excluded.state, cause = excluded.cause, facts = excluded.facts, \
             third_party = excluded.third_party, last_seen = excluded.last_seen, last_scan = excluded.last_scan, \
             past = excluded.past";

    pub const SAVE_PAGES: &str = "INSERT INTO finding_pages (scan, fingerprint, page, facts) \
         SELECT $1, j.value ->> 0, $2, j.value ->> 1 FROM json_array_elements($3::json) j(value) \
         ON CONFLICT (scan, fingerprint, page) DO UPDATE SET facts = excluded.facts";

    /// The number of a finding's pages is set once the page is in: one more, unless the page had it already.
    pub const COUNT_PAGES: &str = "INSERT INTO scan_findings (scan, fingerprint, pages) \
         SELECT $1, j.value ->> 0, 1 FROM json_array_elements($3::json) j(value) WHERE NOT EXISTS ( \
             SELECT 1 FROM finding_pages p WHERE p.scan = $1 AND p.fingerprint = j.value ->> 0 AND p.page = $2) \
         ON CONFLICT (scan, fingerprint) DO UPDATE SET pages = scan_findings.pages + 1";

    pub const WISH: &str = "INSERT INTO intents (fingerprint, revision, due, attempts) \
         SELECT j.value, 1, $2, 0 FROM json_array_elements_text($1::json) j(value) \
         ON CONFLICT (fingerprint) DO UPDATE SET revision = intents.revision + 1, due = excluded.due";
}

pub mod fleet {
    /// What a process does not know that it holds.
    pub const FREE_LEASES: &str = "UPDATE pages SET state = 'waiting', token = NULL, owner = NULL, lease_until = NULL \
         WHERE scan = (SELECT seq FROM scans WHERE id = $1) AND state = 'leased' AND owner = $2 \
             AND token <> ALL (ARRAY(SELECT json_array_elements_text($3::json)))";
}

pub mod frontier {
    pub const INSERT: &str = "INSERT INTO pages (scan, key, url, host, depth, found_on, state, reason, template, family, \
             turn) \
         SELECT $1, j.value ->> 0, j.value ->> 1, j.value ->> 2, (j.value ->> 3)::bigint, j.value ->> 4, \
             CASE WHEN j.value ->> 5 IS NULL THEN 'waiting' ELSE 'skipped' END, j.value ->> 5, j.value ->> 6, \
             j.value ->> 7, (j.value ->> 8)::bigint \
         FROM json_array_elements($2::json) WITH ORDINALITY j(value, nth) ORDER BY j.nth \
         ON CONFLICT (scan, key) DO NOTHING";

    /// The first waiting pages of each of some hosts. A page that somebody else is changing is left out.
    pub const CANDIDATES: &str = "SELECT p.id, p.host, p.key, p.url, p.depth, p.turn, p.alone, p.crashes, \
             p.template IS NOT NULL AS alike \
         FROM json_array_elements_text($2::json) h(value) CROSS JOIN LATERAL ( \
             SELECT w.id, w.host, w.key, w.url, w.depth, w.turn, w.alone, w.crashes, w.template \
             FROM pages w WHERE w.scan = $1 AND w.state = 'waiting' AND w.host = h.value \
             ORDER BY w.depth, w.turn, w.id LIMIT $3 FOR UPDATE SKIP LOCKED) p";

    /// Not joined with the parameter: it is thought to hold so many rows that a small table is read as a whole.
    pub const TAKE: &str = "UPDATE pages SET state = 'leased', owner = $2, lease_until = $3, \
             token = (SELECT j.value ->> 1 FROM json_array_elements($1::json) j(value) \
                 WHERE (j.value ->> 0)::bigint = pages.id) \
         WHERE id = ANY (ARRAY(SELECT (j.value ->> 0)::bigint FROM json_array_elements($1::json) j(value)))";
}

pub mod suppressions {
    pub const FOR: &str = "SELECT s.data, s.matched FROM suppressions s \
             WHERE s.fingerprint = ANY (ARRAY(SELECT json_array_elements_text($1::json))) \
                 AND s.fingerprint IS NOT NULL AND s.lifted IS NULL \
         UNION ALL SELECT s.data, s.matched FROM suppressions s WHERE s.fingerprint IS NULL AND s.lifted IS NULL";

    pub const MATCHED: &str = "UPDATE suppressions SET matched = $2 \
         WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))";

    /// A decision made again holds again; when it was made first stays.
    pub const KEEP: &str = "INSERT INTO suppressions (id, fingerprint, file_of, data) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO UPDATE SET lifted = NULL, data = jsonb_set(excluded.data::jsonb, '{created}', \
             suppressions.data::jsonb -> 'created')::text";

    pub const LIFT_OF_FILE: &str = "UPDATE suppressions SET lifted = $3 WHERE file_of = $1 AND lifted IS NULL \
         AND id <> ALL (ARRAY(SELECT json_array_elements_text($2::json)))";
}

pub mod tickets {
    pub const KNOWN: &str = "SELECT f.fingerprint FROM json_array_elements_text($1::json) j(value) \
         JOIN findings f ON f.fingerprint = j.value";
}

pub mod triage {
    pub const TELL: &str = "INSERT INTO finding_events (fingerprint, at, scan, from_state, to_state, why) \
         SELECT j.value ->> 0, $2, $3, j.value ->> 1, j.value ->> 2, j.value ->> 3 \
         FROM json_array_elements($1::json) WITH ORDINALITY j(value, nth) ORDER BY j.nth";
}

pub mod logins {
    pub const REOPEN: &str = "UPDATE pages SET state = 'waiting', reason = NULL, redirected_to = NULL, \
             token = NULL, owner = NULL, lease_until = NULL \
         WHERE scan = (SELECT seq FROM scans WHERE id = $1) \
             AND key = ANY (ARRAY(SELECT json_array_elements_text($2::json))) \
             AND state IN ('done', 'failed', 'skipped')";
}
