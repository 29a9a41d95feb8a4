CREATE TABLE schedule (
  id          TEXT    NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  name        TEXT    NOT NULL CHECK (name <> ''),
  selector    TEXT    NOT NULL,
  start_cron  TEXT    NOT NULL CHECK (start_cron <> ''),
  stop_cron   TEXT    NOT NULL CHECK (stop_cron <> ''),
  zone        TEXT    NOT NULL CHECK (zone <> ''),
  enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  -- applied is what its last time said, '' before the first; times after
  -- checked_at are still to come.
  applied     TEXT    NOT NULL DEFAULT '' CHECK (applied IN ('', 'start', 'stop')),
  applied_at  BIGINT,
  checked_at  BIGINT  NOT NULL,
  created_at  BIGINT  NOT NULL,
  updated_at  BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL DEFAULT 1
);

CREATE UNIQUE INDEX schedule_name ON schedule (tenant_id, name);

-- What a schedule stopped, from when until when: what it saves is counted from it.
CREATE TABLE schedule_rest (
  seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  schedule_id TEXT    NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
  instance_id TEXT    NOT NULL REFERENCES instance (id),
  from_at     BIGINT  NOT NULL,
  until_at    BIGINT
);

CREATE UNIQUE INDEX schedule_rest_open ON schedule_rest (instance_id) WHERE until_at IS NULL;
CREATE INDEX schedule_rest_by_schedule ON schedule_rest (schedule_id, from_at);
