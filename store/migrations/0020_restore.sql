-- Every return of this database to a backup. Until adopted_at is set nothing on
-- the host is changed and nothing is made.
CREATE TABLE restore (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  backup_id   TEXT    NOT NULL CHECK (backup_id <> ''),
  taken_at    BIGINT  NOT NULL,
  restored_at BIGINT  NOT NULL,
  adopted_at  BIGINT,
  report      TEXT    NOT NULL DEFAULT '{}'
);

-- What the last look has shown of lodge's that no other row is about.
CREATE TABLE orphan (
  host_id    TEXT   NOT NULL REFERENCES host (id),
  kind       TEXT   NOT NULL CHECK (kind IN ('guest', 'volume', 'seed', 'image', 'network', 'port')),
  id         TEXT   NOT NULL CHECK (id <> ''),
  network_id TEXT   NOT NULL DEFAULT '',
  address    TEXT   NOT NULL DEFAULT '',
  state      TEXT   NOT NULL DEFAULT '',
  path       TEXT   NOT NULL DEFAULT '',
  found_at   BIGINT NOT NULL,
  PRIMARY KEY (host_id, kind, id)
);
CREATE INDEX orphan_address ON orphan (network_id) WHERE kind = 'port';

-- Ports that went a moment ago are no orphans yet.
CREATE INDEX port_ended ON port (deleted_at) WHERE deleted_at IS NOT NULL;
