-- The tables of datasync. You can apply this file as often as you like; it uses the schema that is first in search_path.
-- `datasync check-db --apply-schema` applies it under the names and in the schemas of mappings.yaml (tables.customers,
-- tables.sync_log). An existing table keeps its rows and gains the columns it lacks.

-- The records. Rename or extend this table as you like: mappings.yaml says which column takes which field. datasync needs
-- the unique key, and the columns from updated_at on.
CREATE TABLE IF NOT EXISTS customers (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id       varchar(100) NOT NULL UNIQUE,  -- the source's id: decides insert or update
    customer_name     varchar(255),
    email             varchar(255),
    record_type       varchar(50),
    quality_score     numeric,                       -- 0 to 100; 79.5 is a score
    created_at        timestamptz                    -- when the source created it
);
ALTER TABLE customers ADD COLUMN IF NOT EXISTS updated_at        timestamptz;                     -- when this row last changed here
ALTER TABLE customers ADD COLUMN IF NOT EXISTS validation_status varchar(20);                     -- VALID or WARNING
ALTER TABLE customers ADD COLUMN IF NOT EXISTS needs_review      boolean NOT NULL DEFAULT false;
ALTER TABLE customers ADD COLUMN IF NOT EXISTS source_version    timestamptz;                     -- older never overwrites newer
ALTER TABLE customers ADD COLUMN IF NOT EXISTS sync_id           uuid;                            -- the run that last changed it

-- One row a run: who ran it, where, when, with which configuration, and its ledger.
CREATE TABLE IF NOT EXISTS sync_log (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sync_id           uuid NOT NULL,
    status            varchar(50) NOT NULL,          -- RUNNING, then SUCCESS, PARTIAL, FAILED; ABANDONED after a kill
    records_processed bigint NOT NULL DEFAULT 0,     -- fetched
    records_failed    bigint NOT NULL DEFAULT 0,     -- rejected + spooled
    started_at        timestamptz NOT NULL,
    completed_at      timestamptz,
    error_message     text
);
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS target           text;              -- schema.table
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS mode             varchar(20);       -- full or incremental; retry where it was one
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS shard            varchar(20);       -- 1/4, or null for all
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS complete         boolean NOT NULL DEFAULT false; -- saw the whole source
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS source_end       varchar(20);       -- what proves it: announced, marked, …; or unproven
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS inserted         bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS updated          bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS unchanged        bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS superseded       bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS duplicates       bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS rejected         bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS spooled          bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS replayed         bigint NOT NULL DEFAULT 0; -- records of an older spool: beside the ledger
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS flagged          bigint NOT NULL DEFAULT 0; -- written with needs_review
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS pages            bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS watermark_before text;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS watermark_after  text;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS exit_code        integer;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS case_id          text;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS write_back       json;              -- due, sent, conflicts, gone, unsendable, kept: where it is on
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS host             text;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS os_user          text;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS process_id       bigint;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS version          text;              -- of datasync
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS config_hash      text;              -- of mappings.yaml and the DMN file
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS command          text;              -- as it could be typed: sync --limit 100
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS source           text;              -- address of the API
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS source_key       text;              -- tells sources apart that feed the same table
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS api_retries      bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS db_retries       bigint NOT NULL DEFAULT 0;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS fetch_seconds     double precision; -- the stages overlap: they may sum up to more than
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS transform_seconds double precision; -- completed_at - started_at
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS decide_seconds    double precision;
ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS write_seconds     double precision;
CREATE UNIQUE INDEX IF NOT EXISTS sync_log_sync_id_key ON sync_log (sync_id);
CREATE INDEX IF NOT EXISTS sync_log_started_at_idx ON sync_log (started_at);

-- One row a transaction, inserted last in it: its presence proves the COMMIT.
CREATE TABLE IF NOT EXISTS sync_batches (
    run_id       uuid   NOT NULL,
    batch        bigint NOT NULL,
    inserted     bigint NOT NULL,
    updated      bigint NOT NULL,
    unchanged    bigint NOT NULL,
    superseded   bigint NOT NULL,
    duplicates   bigint NOT NULL,
    rejected     bigint NOT NULL,
    resolved     bigint NOT NULL,
    committed_at timestamptz NOT NULL,
    CONSTRAINT sync_batches_pkey PRIMARY KEY (run_id, batch)
);
CREATE INDEX IF NOT EXISTS sync_batches_committed_at_idx ON sync_batches (committed_at);

-- Records that are not in customers, and why. At most one open row a record.
CREATE TABLE IF NOT EXISTS sync_rejections (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target      text NOT NULL,                       -- schema.table it was meant for
    key         text NOT NULL,                       -- the record's key, or sha256:… of its payload if it has none
    record_id   text,                                -- the id that the source gave, if it gave one
    payload     text NOT NULL,                       -- the JSON text, byte for byte: not json, which might refuse or change it
    reason      text NOT NULL,                       -- field_error, missing_required, decision, no_rule, database, …
    message     text NOT NULL,
    errors      jsonb NOT NULL DEFAULT '[]',         -- [{field, expected, problem}]
    rules       jsonb NOT NULL DEFAULT '[]',         -- ids of the rules that fired
    explanation json,                                -- written by earlier versions only: see sync_explanations
    first_run   uuid NOT NULL,
    last_run    uuid NOT NULL,
    first_seen  timestamptz NOT NULL,                -- when its page was requested, by the clock of the database
    last_seen   timestamptz NOT NULL,
    occurrences bigint NOT NULL DEFAULT 1,
    resolved_at timestamptz,                         -- when the page in which it passed was requested
    resolved_by uuid                                 -- the run in which it passed
);
ALTER TABLE sync_rejections ADD COLUMN IF NOT EXISTS digest bytea; -- hash of the content: an equal rejection is not written again
ALTER TABLE sync_rejections ADD COLUMN IF NOT EXISTS explained_by uuid; -- id in sync_explanations
CREATE UNIQUE INDEX IF NOT EXISTS sync_rejections_open_idx ON sync_rejections (target, key COLLATE "C") WHERE resolved_at IS NULL;
DROP INDEX IF EXISTS sync_rejections_open_key;       -- of earlier versions: the same index in another collation
CREATE INDEX IF NOT EXISTS sync_rejections_resolved_idx ON sync_rejections (target, key COLLATE "C") WHERE resolved_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS sync_rejections_resolved_at_idx ON sync_rejections (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS sync_rejections_explained_by_idx ON sync_rejections (explained_by) WHERE explained_by IS NOT NULL;

-- Why the decision table rejected records. Records that were decided on the same values by the same rules share one row.
CREATE TABLE IF NOT EXISTS sync_explanations (
    id          uuid PRIMARY KEY,                    -- made from the rules and the values that they read
    explanation json NOT NULL,                       -- json: it may quote what jsonb cannot hold
    used_at     timestamptz NOT NULL                 -- when it was last stored, or found to be in use
);
CREATE INDEX IF NOT EXISTS sync_explanations_used_at_idx ON sync_explanations (used_at);

-- Open rejections that came again unchanged: one row for all of a page, instead of an update of each rejection.
CREATE TABLE IF NOT EXISTS sync_rejections_seen (
    target   text NOT NULL,                          -- schema.table
    digest   bytea NOT NULL,                         -- hash of the ids: the same page with the same rejections is the same row
    low      bigint NOT NULL,                        -- smallest of the ids
    high     bigint NOT NULL,                        -- greatest of the ids
    seen     timestamptz NOT NULL,                   -- when the page was last requested
    last_run uuid NOT NULL,
    times    bigint NOT NULL,                        -- how often exactly these rejections came together
    base     bigint NOT NULL,                        -- what to add to each element of ids
    ids      integer[] NOT NULL,                     -- ids in sync_rejections, less base: so they fit into integers
    PRIMARY KEY (target, digest)
);
CREATE INDEX IF NOT EXISTS sync_rejections_seen_seen_idx ON sync_rejections_seen (target, seen);

-- All rejections, with what both tables know: when each was last seen, in which run, and at least how often.
CREATE OR REPLACE VIEW sync_rejections_now AS
SELECT r.id, r.target, r.key, r.record_id, r.payload, r.reason, r.message, r.errors, r.rules,
       coalesce(r.explanation, e.explanation) AS explanation, r.first_run,
       CASE WHEN s.seen > r.last_seen THEN s.last_run ELSE r.last_run END AS last_run, r.first_seen,
       greatest(r.last_seen, s.seen) AS last_seen, r.occurrences + coalesce(s.times, 0)::bigint AS occurrences,
       r.resolved_at, r.resolved_by
FROM sync_rejections r LEFT JOIN sync_explanations e ON e.id = r.explained_by LEFT JOIN (
    SELECT l.target, l.base + x.n AS id, max(l.seen) AS seen, sum(l.times) AS times, (array_agg(l.last_run ORDER BY l.seen DESC))[1] AS last_run
    FROM sync_rejections_seen l CROSS JOIN LATERAL unnest(l.ids) AS x(n) GROUP BY 1, 2
) s ON s.target = r.target AND s.id = r.id;

-- Messages of write-back that wait to be sent: entered in the transaction of the row, removed when the API has answered.
CREATE TABLE IF NOT EXISTS sync_outbox (
    target    text NOT NULL,                         -- schema.table
    key       text NOT NULL,                         -- the record's key: a later message replaces one that still waits
    id        bigint GENERATED ALWAYS AS IDENTITY,
    revision  bigint NOT NULL DEFAULT 1,             -- counts the messages that replaced one another while waiting
    record_id text NOT NULL,                         -- the id that the source gave
    if_match  text,
    body      text NOT NULL,                         -- JSON
    version   timestamptz NOT NULL,                  -- version of the row: an older message never replaces a newer one
    run_id    uuid NOT NULL,
    owed_at   timestamptz NOT NULL,
    PRIMARY KEY (target, key)
);
CREATE INDEX IF NOT EXISTS sync_outbox_id_idx ON sync_outbox (target, id);

-- Problems and what is being done about them: one open case a cause.
CREATE TABLE IF NOT EXISTS sync_cases (
    id          text PRIMARY KEY,
    fingerprint text NOT NULL,                       -- stage and class of the error
    status      text NOT NULL,                       -- open or closed
    opened_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    occurrences bigint NOT NULL DEFAULT 1,
    document    jsonb NOT NULL                       -- evidence, plan items, notes
);
CREATE UNIQUE INDEX IF NOT EXISTS sync_cases_open_key ON sync_cases (fingerprint) WHERE status = 'open';

-- How far an incremental sync has come.
CREATE TABLE IF NOT EXISTS sync_state (
    target     text NOT NULL,                        -- schema.table
    name       text NOT NULL,                        -- for example watermark
    value      text NOT NULL,
    run_id     uuid,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (target, name)
);

-- Who is running. After expires_at any other run may take a lease.
CREATE TABLE IF NOT EXISTS sync_lease (
    target       text PRIMARY KEY,                   -- schema.table, and the shard if there is one
    run_id       uuid NOT NULL,
    who          text NOT NULL,
    host         text NOT NULL,
    process      text NOT NULL,                      -- boot, PID namespace, PID, start: shows whether the process still lives
    started_at   timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    progress     bigint NOT NULL DEFAULT 0           -- records fetched
);

-- On Citus every unique key must contain the distribution column: distribute customers by its conflict key, and drop the
-- primary key on id first. The other tables stay as they are, plain tables of the coordinator (docs/citus.md says why):
--   ALTER TABLE customers DROP CONSTRAINT customers_pkey;
--   SELECT create_distributed_table('customers', 'customer_id');
