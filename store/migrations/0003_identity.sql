-- Who may come in, and what they did.

ALTER TABLE "user" ADD COLUMN password_hash TEXT NOT NULL DEFAULT '';
-- The person at an OpenID issuer; both empty for one of lodge's own.
ALTER TABLE "user" ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE "user" ADD COLUMN subject TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX user_subject ON "user" (issuer, subject) WHERE subject <> '' AND deleted_at IS NULL;
CREATE INDEX user_by_age ON "user" (created_at, id);

-- role is the most that the token may do; the membership may allow less.
ALTER TABLE token ADD COLUMN kind TEXT NOT NULL DEFAULT 'api' CHECK (kind IN ('api', 'session'));
ALTER TABLE token ADD COLUMN role TEXT NOT NULL DEFAULT 'viewer' CHECK (role IN ('viewer', 'member', 'admin', 'operator'));

CREATE INDEX token_by_age ON token (created_at, id);
CREATE INDEX token_by_end ON token (expires_at) WHERE kind = 'session';

-- Who did what to what from where. user_name and name are as they were then, so
-- that a row speaks for itself when the others are gone. tenant_id and user_id
-- are no foreign keys: a refused request may name what never was.
CREATE TABLE audit (
  seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at           BIGINT  NOT NULL,
  tenant_id    TEXT,
  user_id      TEXT    NOT NULL DEFAULT '',
  user_name    TEXT    NOT NULL DEFAULT '',
  token_id     TEXT    NOT NULL DEFAULT '',
  via          TEXT    NOT NULL,
  address      TEXT    NOT NULL DEFAULT '',
  request_id   TEXT    NOT NULL DEFAULT '',
  action       TEXT    NOT NULL CHECK (action <> ''),
  subject_kind TEXT    NOT NULL DEFAULT '',
  subject_id   TEXT    NOT NULL DEFAULT '',
  name         TEXT    NOT NULL DEFAULT '',
  result       TEXT    NOT NULL CHECK (result <> '')
);

CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);
CREATE INDEX audit_by_user ON audit (user_id, seq) WHERE user_id <> '';

CREATE TRIGGER audit_no_update
BEFORE UPDATE ON audit
BEGIN
  SELECT RAISE(ABORT, 'audit: rows stay');
END;

CREATE TRIGGER audit_no_delete
BEFORE DELETE ON audit
BEGIN
  SELECT RAISE(ABORT, 'audit: rows stay');
END;
