-- 0001: the queue. Instants are milliseconds of the epoch; flags are 0 or 1.

CREATE TABLE meta (
  id               INTEGER PRIMARY KEY CHECK (id = 1),
  version          INTEGER NOT NULL,
  min_reader       INTEGER NOT NULL,
  min_writer       INTEGER NOT NULL,
  incarnation      INTEGER NOT NULL,
  device           INTEGER NOT NULL,
  inode            INTEGER NOT NULL,
  -- When the file was made, in nanoseconds; 0 where the file system does not say.
  born             INTEGER NOT NULL,
  claim_counter    INTEGER NOT NULL,
  settings_version INTEGER NOT NULL
) STRICT;

CREATE TABLE queue (
  name   TEXT PRIMARY KEY,
  paused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_paused ON queue (name) WHERE paused = 1;

-- queue '' means: for all queues.
CREATE TABLE setting (
  queue TEXT NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE environment (
  id        INTEGER PRIMARY KEY,
  digest    BLOB NOT NULL UNIQUE,
  variables TEXT NOT NULL
) STRICT;

-- Jobs that were handed in together and are there all at once: none of them until it is open. `loader`: who loads it, and
-- then that not all of its jobs are promoted.
CREATE TABLE batch (
  id         INTEGER PRIMARY KEY,
  open       INTEGER NOT NULL,
  loader     TEXT,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX batch_loader ON batch (open, id) WHERE loader IS NOT NULL;

CREATE TABLE job (
  -- Never given out twice, so that a page of a listing goes on where the last one ended.
  seq              INTEGER PRIMARY KEY AUTOINCREMENT,
  id               TEXT NOT NULL UNIQUE,
  generated        INTEGER NOT NULL,
  kind             TEXT NOT NULL,
  queue            TEXT NOT NULL,
  priority         INTEGER NOT NULL,
  state            TEXT NOT NULL
    -- Not as a list: SQLite would make a table of that at each change.
    CHECK (state = 'pending' OR state = 'processing' OR state = 'completed' OR state = 'dead' OR state = 'cancelled'
           OR state = 'blocked'),
  ready            INTEGER NOT NULL,
  retrying         INTEGER NOT NULL,
  due_at           INTEGER NOT NULL,
  run_at           INTEGER,
  attempts         INTEGER NOT NULL DEFAULT 0,
  runs             INTEGER NOT NULL DEFAULT 0,
  interruptions    INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  incarnation      INTEGER,
  claim            INTEGER,
  owner            TEXT,
  worker           TEXT,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  started_at       INTEGER,
  completed_at     INTEGER,
  last_error       TEXT,
  exit_code        INTEGER,
  command          TEXT,
  spec             TEXT NOT NULL,
  digest           BLOB,
  -- Deferred, or each insert would copy the pages that it changes, as said at the triggers.
  environment      INTEGER REFERENCES environment (id) DEFERRABLE INITIALLY DEFERRED,
  batch            INTEGER REFERENCES batch (id) DEFERRABLE INITIALLY DEFERRED,
  CHECK (ready = 0 OR state = 'pending'),
  CHECK ((claim IS NOT NULL) = (state = 'processing'))
) STRICT;

-- The order of claims, over all queues and in each: only ready jobs are looked at, whatever waits in front of them.
CREATE INDEX job_first ON job (kind, priority DESC, due_at, seq, queue) WHERE ready = 1;
CREATE INDEX job_ready ON job (queue, kind, priority DESC, due_at, seq) WHERE ready = 1;
CREATE INDEX job_due ON job (due_at, queue, kind) WHERE state = 'pending' AND ready = 0;
CREATE INDEX job_retrying ON job (queue, due_at, kind) WHERE state = 'pending' AND ready = 0 AND retrying = 1;
CREATE INDEX job_claim ON job (claim) WHERE claim IS NOT NULL;
CREATE INDEX job_cancel ON job (owner) WHERE cancel_requested = 1 AND state = 'processing';
CREATE INDEX job_state ON job (state, seq);
-- For listings, in their order. It changes with no claim and no settle.
CREATE INDEX job_queue ON job (queue, seq);
CREATE INDEX job_failed ON job (seq, queue) WHERE state = 'pending' AND retrying = 1;
CREATE INDEX job_ended ON job (state, completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX job_environment ON job (environment) WHERE environment IS NOT NULL;

CREATE TABLE attempt (
  job              INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
  number           INTEGER NOT NULL,
  incarnation      INTEGER NOT NULL,
  claim            INTEGER NOT NULL,
  worker           TEXT,
  started_at       INTEGER,
  ended_at         INTEGER NOT NULL,
  outcome          TEXT NOT NULL,
  exit_number      INTEGER,
  message          TEXT,
  charged          INTEGER NOT NULL,
  cpu_user_ms      INTEGER NOT NULL,
  cpu_system_ms    INTEGER NOT NULL,
  max_rss_kib      INTEGER NOT NULL,
  leftovers_killed INTEGER NOT NULL,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

-- What an attempt printed; no row for a stream that stayed empty. The body is here, or in a file.
CREATE TABLE output (
  job           INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
  number        INTEGER NOT NULL,
  stream        TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr')),
  bytes_total   INTEGER NOT NULL,
  bytes_dropped INTEGER NOT NULL,
  head_len      INTEGER NOT NULL,
  sha256        BLOB NOT NULL,
  body          BLOB,
  file          TEXT,
  file_len      INTEGER,
  PRIMARY KEY (job, number, stream)
) STRICT;

CREATE TABLE worker (
  id         TEXT PRIMARY KEY,
  pid        INTEGER NOT NULL,
  host       TEXT NOT NULL,
  slots      INTEGER NOT NULL,
  queues     TEXT NOT NULL,
  only_job   INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  stop       TEXT CHECK (stop IN ('drain', 'handover', 'now')),
  version    TEXT NOT NULL
) STRICT;

-- How many jobs there are, kept with every change, so that status and claims never count rows. Those that are staged in
-- a batch count once they are promoted, many at a time.
CREATE TABLE counts (
  queue    TEXT NOT NULL,
  state    TEXT NOT NULL,
  ready    INTEGER NOT NULL,
  retrying INTEGER NOT NULL,
  n        INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (queue, state, ready, retrying)
) STRICT, WITHOUT ROWID;

-- Nothing here may undo just the statement: so one that leaves its errors to its transaction (OR FAIL) need not copy each
-- page before it writes to it.
CREATE TRIGGER job_counted AFTER INSERT ON job WHEN new.due_at < 1152921504606846976 BEGIN
  INSERT INTO counts (queue, state, ready, retrying, n)
    VALUES (new.queue, new.state, new.ready, new.retrying, 0)
    ON CONFLICT DO NOTHING;
  UPDATE counts SET n = n + 1
    WHERE queue = new.queue AND state = new.state AND ready = new.ready AND retrying = new.retrying;
END;
CREATE TRIGGER job_uncounted AFTER DELETE ON job WHEN old.due_at < 1152921504606846976 BEGIN
  UPDATE counts SET n = n - 1
    WHERE queue = old.queue AND state = old.state AND ready = old.ready AND retrying = old.retrying;
END;
CREATE TRIGGER job_recounted AFTER UPDATE OF queue, state, ready, retrying ON job
  WHEN old.due_at < 1152921504606846976
   AND (old.queue, old.state, old.ready, old.retrying) IS NOT (new.queue, new.state, new.ready, new.retrying)
BEGIN
  UPDATE counts SET n = n - 1
    WHERE queue = old.queue AND state = old.state AND ready = old.ready AND retrying = old.retrying;
  INSERT INTO counts (queue, state, ready, retrying, n)
    VALUES (new.queue, new.state, new.ready, new.retrying, 0)
    ON CONFLICT DO NOTHING;
  UPDATE counts SET n = n + 1
    WHERE queue = new.queue AND state = new.state AND ready = new.ready AND retrying = new.retrying;
END;

-- For people with a SQL shell: contract names, shown states, ISO times.
CREATE VIEW jobs AS SELECT
  id,
  command,
  CASE WHEN state = 'pending' AND retrying = 1
            AND due_at > CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)
       THEN 'failed' ELSE state END AS state,
  attempts,
  json_extract(spec, '$.max_retries') AS max_retries,
  strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000.0, 'unixepoch') AS updated_at,
  queue,
  priority,
  json_extract(spec, '$.timeout_ms') / 1000.0 AS timeout,
  strftime('%Y-%m-%dT%H:%M:%fZ', run_at / 1000.0, 'unixepoch') AS run_at,
  json_extract(spec, '$.backoff_base') AS backoff_base,
  CASE WHEN state = 'pending' AND retrying = 1 THEN
    strftime('%Y-%m-%dT%H:%M:%fZ', due_at / 1000.0, 'unixepoch') END AS next_retry_at,
  last_error,
  exit_code,
  worker AS worker_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', completed_at / 1000.0, 'unixepoch') AS completed_at,
  coalesce(json_extract(spec, '$.tags'), '{}') AS tags,
  kind,
  runs,
  interruptions
FROM job
WHERE due_at < 1152921504606846976 OR EXISTS (SELECT 1 FROM batch WHERE batch.id = job.batch AND batch.open = 1);

CREATE VIEW attempts AS SELECT
  job.id AS job_id,
  attempt.number,
  attempt.worker AS worker_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', attempt.started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', attempt.ended_at / 1000.0, 'unixepoch') AS ended_at,
  attempt.outcome,
  CASE WHEN attempt.outcome = 'exited' THEN attempt.exit_number END AS exit_code,
  CASE WHEN attempt.outcome = 'signaled' THEN attempt.exit_number END AS signal,
  attempt.charged,
  attempt.cpu_user_ms / 1000.0 AS cpu_user,
  attempt.cpu_system_ms / 1000.0 AS cpu_system,
  attempt.max_rss_kib
FROM attempt JOIN job ON job.seq = attempt.job;

CREATE VIEW workers AS SELECT
  id,
  pid,
  host,
  slots,
  queues,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
  CASE WHEN stop IS NULL THEN 'active' ELSE 'stopping' END AS state
FROM worker;
