-- The table of the beginning could not say what an operation has come true by. No
-- lodge has written a row of it.
DROP TABLE operation;

-- The work that one wish means: written with the wish, ended with the record of
-- its outcome. generation, boots and want_ say what it has come true by. name and
-- user_name are as they were then. The subject is no foreign key: a row outlives
-- it, and an image whose upload failed is forgotten.
CREATE TABLE operation (
  id              TEXT    NOT NULL PRIMARY KEY,
  tenant_id       TEXT    NOT NULL REFERENCES tenant (id),
  kind            TEXT    NOT NULL CHECK (kind <> ''),
  state           TEXT    NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled', 'superseded')),
  subject_kind    TEXT    NOT NULL CHECK (subject_kind <> ''),
  subject_id      TEXT    NOT NULL,
  name            TEXT    NOT NULL,
  generation      BIGINT  NOT NULL DEFAULT 0,
  boots           BIGINT  NOT NULL DEFAULT 0,
  want_power      TEXT    NOT NULL DEFAULT '' CHECK (want_power IN ('', 'running', 'stopped')),
  want_name       TEXT    NOT NULL DEFAULT '',
  want_vcpus      INTEGER NOT NULL DEFAULT 0,
  want_memory_mib INTEGER NOT NULL DEFAULT 0,
  error_code      TEXT,
  error_message   TEXT    NOT NULL DEFAULT '',
  bytes_done      BIGINT  NOT NULL DEFAULT 0,
  bytes_total     BIGINT  NOT NULL DEFAULT 0,
  user_id         TEXT    NOT NULL DEFAULT '',
  user_name       TEXT    NOT NULL DEFAULT '',
  token_id        TEXT    NOT NULL DEFAULT '',
  via             TEXT    NOT NULL DEFAULT '',
  request_id      TEXT    NOT NULL DEFAULT '',
  created_at      BIGINT  NOT NULL,
  ended_at        BIGINT,
  CHECK ((state = 'running') = (ended_at IS NULL)),
  CHECK (state <> 'failed' OR error_code IS NOT NULL)
);

CREATE INDEX operation_by_subject ON operation (subject_id, state, created_at, id);
CREATE INDEX operation_by_tenant ON operation (tenant_id, created_at, id);
CREATE INDEX operation_by_age ON operation (created_at, id);
CREATE INDEX operation_by_end ON operation (ended_at) WHERE ended_at IS NOT NULL;

-- The operation that the answer names.
ALTER TABLE idempotency ADD COLUMN operation TEXT NOT NULL DEFAULT '';
