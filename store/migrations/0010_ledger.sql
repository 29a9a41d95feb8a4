-- What a resource was called and how it was labelled, from an instant on. The
-- bill reads these and never the object's own row.
CREATE TABLE usage_fact (
  seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  kind        TEXT    NOT NULL CHECK (kind <> ''),
  resource_id TEXT    NOT NULL CHECK (resource_id <> ''),
  name        TEXT    NOT NULL,
  flavor      TEXT    NOT NULL,
  labels      TEXT    NOT NULL,
  since       BIGINT  NOT NULL
);

CREATE INDEX usage_fact_by_resource ON usage_fact (resource_id, seq);
CREATE INDEX usage_fact_by_tenant ON usage_fact (tenant_id, resource_id, seq);

CREATE TRIGGER usage_fact_in_order
BEFORE INSERT ON usage_fact
WHEN EXISTS (SELECT 1 FROM usage_fact f WHERE f.resource_id = NEW.resource_id AND (f.since > NEW.since OR f.tenant_id <> NEW.tenant_id OR f.kind <> NEW.kind))
BEGIN
  SELECT RAISE(ABORT, 'usage_fact: facts of a resource come in order, and of one tenant and kind');
END;

CREATE TRIGGER usage_fact_no_update
BEFORE UPDATE ON usage_fact
BEGIN
  SELECT RAISE(ABORT, 'usage_fact: rows stay');
END;

CREATE TRIGGER usage_fact_no_delete
BEFORE DELETE ON usage_fact
BEGIN
  SELECT RAISE(ABORT, 'usage_fact: rows stay');
END;

INSERT INTO usage_fact (tenant_id, kind, resource_id, name, flavor, labels, since)
SELECT tenant_id, 'instance', id, name, flavor_id, labels, created_at
FROM instance
ORDER BY created_at, id;

INSERT INTO usage_fact (tenant_id, kind, resource_id, name, flavor, labels, since)
SELECT tenant_id, 'image', id, name, '', labels, created_at
FROM image
ORDER BY created_at, id;

-- The ledger's time of each host, tied to its clock since boot, as of the last
-- heartbeat.
CREATE TABLE usage_clock (
  host_id TEXT   NOT NULL PRIMARY KEY REFERENCES host (id),
  boot_id TEXT   NOT NULL,
  boot_ns BIGINT NOT NULL,
  at_ns   BIGINT NOT NULL
);

-- Steps of the wall clock. One that was adopted moved the ledger's time.
CREATE TABLE usage_clock_step (
  seq     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  host_id TEXT    NOT NULL REFERENCES host (id),
  at      BIGINT  NOT NULL,
  wall    BIGINT  NOT NULL,
  adopted INTEGER NOT NULL CHECK (adopted IN (0, 1)),
  CHECK (adopted = 0 OR wall > at)
);

CREATE TRIGGER usage_clock_step_no_update
BEFORE UPDATE ON usage_clock_step
BEGIN
  SELECT RAISE(ABORT, 'usage_clock_step: rows stay');
END;

CREATE TRIGGER usage_clock_step_no_delete
BEFORE DELETE ON usage_clock_step
BEGIN
  SELECT RAISE(ABORT, 'usage_clock_step: rows stay');
END;

-- An hour that is closed: all that it held was seen beyond its end.
CREATE TABLE usage_close (
  hour      BIGINT NOT NULL PRIMARY KEY CHECK (hour % 3600000 = 0),
  closed_at BIGINT NOT NULL CHECK (closed_at >= hour + 3600000)
);

CREATE TRIGGER usage_close_in_order
BEFORE INSERT ON usage_close
WHEN NEW.hour <> COALESCE((SELECT MAX(hour) + 3600000 FROM usage_close), NEW.hour)
BEGIN
  SELECT RAISE(ABORT, 'usage_close: hours are closed one after the other');
END;

CREATE TRIGGER usage_close_no_update
BEFORE UPDATE ON usage_close
BEGIN
  SELECT RAISE(ABORT, 'usage_close: rows stay');
END;

CREATE TRIGGER usage_close_no_delete
BEFORE DELETE ON usage_close
BEGIN
  SELECT RAISE(ABORT, 'usage_close: rows stay');
END;

-- What a tenant used in a closed hour: the number of lines, the SHA-256 of
-- them all, and the sums by meter. The lines themselves are made from the
-- intervals whenever they are asked for. A later revision is a correction.
CREATE TABLE usage_hour (
  seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  hour      BIGINT  NOT NULL REFERENCES usage_close (hour),
  tenant_id TEXT    NOT NULL REFERENCES tenant (id),
  revision  INTEGER NOT NULL CHECK (revision > 0),
  lines     BIGINT  NOT NULL CHECK (lines >= 0),
  digest    BLOB    NOT NULL CHECK (length(digest) = 32),
  totals    TEXT    NOT NULL,
  closed_at BIGINT  NOT NULL,
  UNIQUE (tenant_id, hour, revision)
);

CREATE TRIGGER usage_hour_in_order
BEFORE INSERT ON usage_hour
WHEN NEW.revision <> 1 + COALESCE((SELECT MAX(revision) FROM usage_hour h WHERE h.tenant_id = NEW.tenant_id AND h.hour = NEW.hour), 0)
BEGIN
  SELECT RAISE(ABORT, 'usage_hour: revisions of an hour come one after the other');
END;

CREATE TRIGGER usage_hour_no_update
BEFORE UPDATE ON usage_hour
BEGIN
  SELECT RAISE(ABORT, 'usage_hour: rows stay');
END;

CREATE TRIGGER usage_hour_no_delete
BEFORE DELETE ON usage_hour
BEGIN
  SELECT RAISE(ABORT, 'usage_hour: rows stay');
END;

-- Closed hours that a late truth has touched: to be computed again.
CREATE TABLE usage_recount (
  hour      BIGINT NOT NULL,
  tenant_id TEXT   NOT NULL REFERENCES tenant (id),
  PRIMARY KEY (hour, tenant_id)
) WITHOUT ROWID;

-- The chain: each hash covers the one before it and the row that ref names.
CREATE TABLE usage_seal (
  n    INTEGER NOT NULL PRIMARY KEY,
  kind TEXT    NOT NULL CHECK (kind <> ''),
  ref  BIGINT  NOT NULL,
  hash BLOB    NOT NULL CHECK (length(hash) = 32),
  UNIQUE (kind, ref)
);

CREATE TRIGGER usage_seal_in_order
BEFORE INSERT ON usage_seal
WHEN NEW.n <> 1 + COALESCE((SELECT MAX(n) FROM usage_seal), 0)
BEGIN
  SELECT RAISE(ABORT, 'usage_seal: the chain has no gaps');
END;

CREATE TRIGGER usage_seal_no_update
BEFORE UPDATE ON usage_seal
BEGIN
  SELECT RAISE(ABORT, 'usage_seal: rows stay');
END;

CREATE TRIGGER usage_seal_no_delete
BEFORE DELETE ON usage_seal
BEGIN
  SELECT RAISE(ABORT, 'usage_seal: rows stay');
END;

-- Closing an hour and recounting one read what was still open at its beginning
-- or ended later.
CREATE INDEX usage_interval_by_end ON usage_interval (ended_at, started_at);
CREATE INDEX usage_interval_open_by_tenant ON usage_interval (tenant_id) WHERE ended_at IS NULL;
