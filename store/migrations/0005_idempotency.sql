-- The answers to requests with an Idempotency-Key, written with what the request
-- did. key is a hash of the client's; scope is whose it is.
CREATE TABLE idempotency (
  scope      TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  status     INTEGER NOT NULL,
  location   TEXT    NOT NULL DEFAULT '',
  body       TEXT    NOT NULL,
  created_at BIGINT  NOT NULL,
  PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);
