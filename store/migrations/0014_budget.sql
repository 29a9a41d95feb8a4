-- Whom budgets tell. The secret signs and is never shown again.
CREATE TABLE webhook (
  id          TEXT    NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  name        TEXT    NOT NULL CHECK (name <> ''),
  url         TEXT    NOT NULL CHECK (url <> ''),
  secret      BLOB    NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
  by_operator INTEGER NOT NULL CHECK (by_operator IN (0, 1)),
  created_at  BIGINT  NOT NULL,
  updated_at  BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL DEFAULT 1
);

CREATE UNIQUE INDEX webhook_name ON webhook (tenant_id, name);

CREATE TABLE budget (
  id          TEXT    NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  name        TEXT    NOT NULL CHECK (name <> ''),
  selector    TEXT    NOT NULL,
  amount      TEXT    NOT NULL CHECK (amount <> '' AND amount NOT GLOB '*[^0-9.]*'),
  period      TEXT    NOT NULL CHECK (period IN ('day', 'month', 'total')),
  thresholds  TEXT    NOT NULL,
  webhook_id  TEXT    REFERENCES webhook (id),
  by_operator INTEGER NOT NULL CHECK (by_operator IN (0, 1)),
  generation  BIGINT  NOT NULL DEFAULT 1,
  created_at  BIGINT  NOT NULL,
  updated_at  BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL DEFAULT 1
);

CREATE UNIQUE INDEX budget_name ON budget (tenant_id, name);
CREATE INDEX budget_by_webhook ON budget (webhook_id);

-- A threshold that was reached: once in a period for what the budget was then.
CREATE TABLE budget_crossing (
  budget_id  TEXT    NOT NULL REFERENCES budget (id) ON DELETE CASCADE,
  tenant_id  TEXT    NOT NULL,
  generation BIGINT  NOT NULL,
  period     BIGINT  NOT NULL,
  rule       TEXT    NOT NULL,
  percent    INTEGER NOT NULL,
  basis      TEXT    NOT NULL CHECK (basis IN ('actual', 'forecast')),
  action     TEXT    NOT NULL CHECK (action IN ('notify', 'refuse', 'stop')),
  grace      BIGINT  NOT NULL,
  at         BIGINT  NOT NULL,
  until      BIGINT,
  spent      TEXT    NOT NULL,
  stop_at    BIGINT  CHECK ((stop_at IS NOT NULL) = (action = 'stop')),
  stopped_at BIGINT,
  lifted_at  BIGINT,
  UNIQUE (budget_id, period, rule, generation)
);

CREATE UNIQUE INDEX budget_crossing_once ON budget_crossing (budget_id, rule) WHERE lifted_at IS NULL;
CREATE INDEX budget_refusing ON budget_crossing (tenant_id) WHERE lifted_at IS NULL AND action <> 'notify';

-- What is still to be told, and what was.
CREATE TABLE webhook_delivery (
  seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id           TEXT    NOT NULL UNIQUE,
  webhook_id   TEXT    NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
  type         TEXT    NOT NULL,
  body         TEXT    NOT NULL,
  created_at   BIGINT  NOT NULL,
  attempts     INTEGER NOT NULL DEFAULT 0,
  last_at      BIGINT,
  last_status  INTEGER NOT NULL DEFAULT 0,
  last_error   TEXT    NOT NULL DEFAULT '',
  next_at      BIGINT,
  delivered_at BIGINT,
  given_up_at  BIGINT,
  CHECK ((next_at IS NULL) = (delivered_at IS NOT NULL OR given_up_at IS NOT NULL))
);

CREATE INDEX webhook_delivery_due ON webhook_delivery (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_delivery_by_webhook ON webhook_delivery (webhook_id, seq);

-- What a budget or a schedule stopped, until somebody wishes something of its power.
ALTER TABLE instance ADD COLUMN stopped_by TEXT NOT NULL DEFAULT '' CHECK (stopped_by IN ('', 'budget', 'schedule'));
ALTER TABLE instance ADD COLUMN stopped_by_id TEXT NOT NULL DEFAULT '' CHECK ((stopped_by = '') = (stopped_by_id = ''));
CREATE INDEX instance_stopped_by ON instance (stopped_by_id) WHERE stopped_by_id <> '';
