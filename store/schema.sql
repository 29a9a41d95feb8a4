-- The schema after all migrations. Written by: go test ./store -run Golden -update

CREATE TABLE schema_migrations (
		  version INTEGER NOT NULL PRIMARY KEY,
		  name    TEXT    NOT NULL
		);

CREATE TABLE tenant (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL CHECK (name <> ''),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  deleted_at BIGINT
);

CREATE UNIQUE INDEX tenant_name ON tenant (name) WHERE deleted_at IS NULL;

CREATE INDEX tenant_by_age ON tenant (created_at, id);

CREATE TABLE "user" (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL CHECK (name <> ''),
  email      TEXT    NOT NULL DEFAULT '',
  operator   INTEGER NOT NULL DEFAULT 0 CHECK (operator IN (0, 1)),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  deleted_at BIGINT
, password_hash TEXT NOT NULL DEFAULT '', issuer TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL DEFAULT '');

CREATE UNIQUE INDEX user_name ON "user" (name) WHERE deleted_at IS NULL;

CREATE TABLE membership (
  user_id    TEXT    NOT NULL REFERENCES "user" (id),
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  role       TEXT    NOT NULL CHECK (role <> ''),
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  PRIMARY KEY (user_id, tenant_id)
);

CREATE INDEX membership_by_tenant ON membership (tenant_id);

CREATE TABLE token (
  id           TEXT    NOT NULL PRIMARY KEY,
  tenant_id    TEXT    REFERENCES tenant (id),
  user_id      TEXT    REFERENCES "user" (id),
  name         TEXT    NOT NULL CHECK (name <> ''),
  hash         TEXT    NOT NULL UNIQUE,
  scope        TEXT    NOT NULL DEFAULT '',
  labels       TEXT    NOT NULL DEFAULT '{}',
  created_at   BIGINT  NOT NULL,
  updated_at   BIGINT  NOT NULL,
  revision     BIGINT  NOT NULL DEFAULT 1,
  expires_at   BIGINT,
  last_used_at BIGINT,
  revoked_at   BIGINT
, kind TEXT NOT NULL DEFAULT 'api' CHECK (kind IN ('api', 'session')), role TEXT NOT NULL DEFAULT 'viewer' CHECK (role IN ('viewer', 'member', 'admin', 'operator')));

CREATE INDEX token_by_tenant ON token (tenant_id);

CREATE INDEX token_by_user ON token (user_id);

CREATE TABLE keypair (
  id          TEXT    NOT NULL PRIMARY KEY,
  user_id     TEXT    NOT NULL REFERENCES "user" (id),
  name        TEXT    NOT NULL CHECK (name <> ''),
  public_key  TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,
  labels      TEXT    NOT NULL DEFAULT '{}',
  created_at  BIGINT  NOT NULL,
  updated_at  BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL DEFAULT 1,
  UNIQUE (user_id, name)
);

CREATE TABLE flavor (
  id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
  tenant_id  TEXT    REFERENCES tenant (id),
  vcpus      INTEGER NOT NULL CHECK (vcpus > 0),
  memory_mib INTEGER NOT NULL CHECK (memory_mib > 0),
  disk_gib   INTEGER NOT NULL CHECK (disk_gib > 0),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1
);

CREATE TABLE host (
  id               TEXT    NOT NULL PRIMARY KEY,
  name             TEXT    NOT NULL CHECK (name <> ''),
  vcpus            INTEGER NOT NULL CHECK (vcpus >= 0),
  memory_mib       INTEGER NOT NULL CHECK (memory_mib >= 0),
  accel            TEXT    NOT NULL,
  version          TEXT    NOT NULL,
  hypervisor       TEXT    NOT NULL,
  labels           TEXT    NOT NULL DEFAULT '{}',
  created_at       BIGINT  NOT NULL,
  updated_at       BIGINT  NOT NULL,
  revision         BIGINT  NOT NULL DEFAULT 1,
  started_at       BIGINT,
  -- seen
  problem_code     TEXT,
  problem_message  TEXT    NOT NULL DEFAULT '',
  problem_since    BIGINT,
  problem_retry_at BIGINT,
  problem_attempts INTEGER NOT NULL DEFAULT 0,
  heartbeat_at     BIGINT
, vcpu_ratio REAL NOT NULL DEFAULT 16 CHECK (vcpu_ratio > 0), memory_ratio REAL NOT NULL DEFAULT 1 CHECK (memory_ratio > 0), reserved_mib BIGINT NOT NULL DEFAULT 0 CHECK (reserved_mib >= 0));

CREATE TABLE image (
  id               TEXT    NOT NULL PRIMARY KEY,
  tenant_id        TEXT    NOT NULL REFERENCES tenant (id),
  name             TEXT    NOT NULL CHECK (name <> ''),
  labels           TEXT    NOT NULL DEFAULT '{}',
  created_at       BIGINT  NOT NULL,
  updated_at       BIGINT  NOT NULL,
  revision         BIGINT  NOT NULL DEFAULT 1,
  host_id          TEXT    REFERENCES host (id),
  -- wanted
  public           INTEGER NOT NULL DEFAULT 0 CHECK (public IN (0, 1)),
  is_default       INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
  source           TEXT    NOT NULL CHECK (source IN ('upload', 'url')),
  url              TEXT    NOT NULL DEFAULT '',
  sha256_promised  TEXT    NOT NULL DEFAULT '',
  firmware         TEXT    NOT NULL CHECK (firmware IN ('bios', 'uefi')),
  login            TEXT    NOT NULL DEFAULT '',
  deleted_at       BIGINT,
  -- seen
  state            TEXT    NOT NULL CHECK (state IN ('queued', 'importing', 'active', 'error', 'gone')),
  problem_code     TEXT,
  problem_message  TEXT    NOT NULL DEFAULT '',
  problem_since    BIGINT,
  problem_retry_at BIGINT,
  problem_attempts INTEGER NOT NULL DEFAULT 0,
  problem_removing INTEGER NOT NULL DEFAULT 0 CHECK (problem_removing IN (0, 1)),
  format           TEXT    NOT NULL DEFAULT '' CHECK (format IN ('', 'raw', 'qcow2')),
  sha256_measured  TEXT    NOT NULL DEFAULT '',
  size_bytes       BIGINT  NOT NULL DEFAULT 0,
  virtual_size     BIGINT  NOT NULL DEFAULT 0,
  bytes_done       BIGINT  NOT NULL DEFAULT 0,
  bytes_total      BIGINT  NOT NULL DEFAULT 0,
  gone_at          BIGINT, wants_default INTEGER NOT NULL DEFAULT 0 CHECK (wants_default IN (0, 1)), protected INTEGER NOT NULL DEFAULT 0
  CHECK (protected = 0 OR (protected = 1 AND deleted_at IS NULL)),
  CHECK (state <> 'active' OR format <> ''),
  CHECK ((state = 'gone') = (gone_at IS NOT NULL))
);

CREATE UNIQUE INDEX image_name ON image (tenant_id, name) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX image_default ON image (tenant_id) WHERE is_default = 1 AND deleted_at IS NULL;

CREATE INDEX image_by_age ON image (created_at, id) WHERE gone_at IS NULL;

CREATE TABLE network (
  id               TEXT    NOT NULL PRIMARY KEY,
  tenant_id        TEXT    NOT NULL REFERENCES tenant (id),
  name             TEXT    NOT NULL CHECK (name <> ''),
  labels           TEXT    NOT NULL DEFAULT '{}',
  created_at       BIGINT  NOT NULL,
  updated_at       BIGINT  NOT NULL,
  revision         BIGINT  NOT NULL DEFAULT 1,
  host_id          TEXT    REFERENCES host (id),
  -- wanted
  is_default       INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
  deleted_at       BIGINT,
  -- seen
  problem_code     TEXT,
  problem_message  TEXT    NOT NULL DEFAULT '',
  problem_since    BIGINT,
  problem_retry_at BIGINT,
  problem_attempts INTEGER NOT NULL DEFAULT 0,
  gone_at          BIGINT
);

CREATE UNIQUE INDEX network_name ON network (tenant_id, name) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX network_default ON network (tenant_id) WHERE is_default = 1 AND deleted_at IS NULL;

CREATE INDEX network_by_age ON network (created_at, id) WHERE gone_at IS NULL;

CREATE TABLE subnet (
  id         TEXT    NOT NULL PRIMARY KEY,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  network_id TEXT    NOT NULL REFERENCES network (id),
  cidr       TEXT    NOT NULL CHECK (cidr <> ''),
  dhcp       INTEGER NOT NULL DEFAULT 1 CHECK (dhcp IN (0, 1)),
  dns        TEXT    NOT NULL DEFAULT '[]',
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1
);

CREATE INDEX subnet_by_network ON subnet (network_id);

CREATE TABLE router (
  id         TEXT    NOT NULL PRIMARY KEY,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  name       TEXT    NOT NULL CHECK (name <> ''),
  snat       INTEGER NOT NULL DEFAULT 1 CHECK (snat IN (0, 1)),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  deleted_at BIGINT
);

CREATE UNIQUE INDEX router_name ON router (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE router_interface (
  router_id  TEXT    NOT NULL REFERENCES router (id),
  subnet_id  TEXT    NOT NULL REFERENCES subnet (id),
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  created_at BIGINT  NOT NULL,
  PRIMARY KEY (router_id, subnet_id)
);

CREATE INDEX router_interface_by_subnet ON router_interface (subnet_id);

CREATE TABLE security_group (
  id          TEXT    NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  name        TEXT    NOT NULL CHECK (name <> ''),
  description TEXT    NOT NULL DEFAULT '',
  is_default  INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
  labels      TEXT    NOT NULL DEFAULT '{}',
  created_at  BIGINT  NOT NULL,
  updated_at  BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL DEFAULT 1,
  deleted_at  BIGINT
);

CREATE UNIQUE INDEX security_group_name ON security_group (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE security_group_rule (
  id                TEXT    NOT NULL PRIMARY KEY,
  security_group_id TEXT    NOT NULL REFERENCES security_group (id),
  tenant_id         TEXT    NOT NULL REFERENCES tenant (id),
  direction         TEXT    NOT NULL CHECK (direction IN ('ingress', 'egress')),
  ethertype         TEXT    NOT NULL CHECK (ethertype IN ('ipv4', 'ipv6')),
  protocol          TEXT    NOT NULL DEFAULT '',
  port_min          INTEGER CHECK (port_min BETWEEN 0 AND 65535),
  port_max          INTEGER CHECK (port_max BETWEEN 0 AND 65535),
  remote_cidr       TEXT    NOT NULL DEFAULT '',
  remote_group_id   TEXT    REFERENCES security_group (id),
  created_at        BIGINT  NOT NULL,
  updated_at        BIGINT  NOT NULL,
  revision          BIGINT  NOT NULL DEFAULT 1
);

CREATE INDEX security_group_rule_by_group ON security_group_rule (security_group_id);

CREATE TABLE instance (
  id                  TEXT    NOT NULL PRIMARY KEY,
  tenant_id           TEXT    NOT NULL REFERENCES tenant (id),
  name                TEXT    NOT NULL CHECK (name <> ''),
  labels              TEXT    NOT NULL DEFAULT '{}',
  created_at          BIGINT  NOT NULL,
  updated_at          BIGINT  NOT NULL,
  revision            BIGINT  NOT NULL DEFAULT 1,
  host_id             TEXT    NOT NULL REFERENCES host (id),
  -- wanted
  flavor_id           TEXT    NOT NULL DEFAULT '',
  vcpus               INTEGER NOT NULL CHECK (vcpus > 0),
  memory_mib          INTEGER NOT NULL CHECK (memory_mib > 0),
  disk_gib            INTEGER NOT NULL CHECK (disk_gib > 0),
  image_id            TEXT    NOT NULL REFERENCES image (id),
  ssh_keys            TEXT    NOT NULL DEFAULT '[]',
  user_data           TEXT    NOT NULL DEFAULT '',
  firmware            TEXT    NOT NULL CHECK (firmware IN ('bios', 'uefi')),
  generation          BIGINT  NOT NULL DEFAULT 1,
  power               TEXT    NOT NULL CHECK (power IN ('running', 'stopped')),
  power_force         INTEGER NOT NULL DEFAULT 0 CHECK (power_force IN (0, 1)),
  power_at            BIGINT  NOT NULL,
  boots               BIGINT  NOT NULL DEFAULT 0,
  wished_at           BIGINT  NOT NULL,
  deleted_at          BIGINT,
  -- seen
  state               TEXT    NOT NULL CHECK (state IN ('requested', 'building', 'running', 'paused', 'stopped', 'sleeping', 'error', 'gone')),
  task                TEXT    NOT NULL DEFAULT '',
  problem_code        TEXT,
  problem_message     TEXT    NOT NULL DEFAULT '',
  problem_since       BIGINT,
  problem_retry_at    BIGINT,
  problem_attempts    INTEGER NOT NULL DEFAULT 0,
  problem_of_host     INTEGER NOT NULL DEFAULT 0 CHECK (problem_of_host IN (0, 1)),
  decided_generation  BIGINT  NOT NULL DEFAULT 0,
  observed_generation BIGINT  NOT NULL DEFAULT 0,
  observed_boots      BIGINT  NOT NULL DEFAULT 0,
  running_vcpus       INTEGER NOT NULL DEFAULT 0,
  running_memory_mib  INTEGER NOT NULL DEFAULT 0,
  started_at          BIGINT,
  gone_at             BIGINT, protected INTEGER NOT NULL DEFAULT 0
  CHECK (protected = 0 OR (protected = 1 AND deleted_at IS NULL)), stopped_by TEXT NOT NULL DEFAULT '' CHECK (stopped_by IN ('', 'budget', 'schedule')), stopped_by_id TEXT NOT NULL DEFAULT '' CHECK ((stopped_by = '') = (stopped_by_id = '')),
  CHECK ((state = 'gone') = (gone_at IS NOT NULL)),
  CHECK (gone_at IS NULL OR deleted_at IS NOT NULL)
);

CREATE UNIQUE INDEX instance_name ON instance (tenant_id, name) WHERE deleted_at IS NULL;

CREATE INDEX instance_by_age ON instance (created_at, id, revision, gone_at) WHERE gone_at IS NULL;

CREATE INDEX instance_by_tenant ON instance (tenant_id, created_at, id, revision, gone_at) WHERE gone_at IS NULL;

CREATE INDEX instance_by_host ON instance (host_id, id, revision, gone_at) WHERE gone_at IS NULL;

CREATE TABLE volume (
  id         TEXT    NOT NULL PRIMARY KEY,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  name       TEXT    NOT NULL DEFAULT '',
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  host_id    TEXT    NOT NULL REFERENCES host (id),
  -- wanted
  size_gib   INTEGER NOT NULL CHECK (size_gib > 0),
  image_id   TEXT    REFERENCES image (id),
  deleted_at BIGINT,
  -- seen
  state      TEXT    NOT NULL CHECK (state IN ('requested', 'available', 'gone')),
  gone_at    BIGINT,
  CHECK ((state = 'gone') = (gone_at IS NOT NULL))
);

CREATE INDEX volume_by_image ON volume (image_id) WHERE gone_at IS NULL;

CREATE INDEX volume_by_tenant ON volume (tenant_id, created_at, id) WHERE gone_at IS NULL;

CREATE TABLE attachment (
  instance_id          TEXT    NOT NULL REFERENCES instance (id),
  slot                 TEXT    NOT NULL CHECK (slot <> ''),
  volume_id            TEXT    NOT NULL REFERENCES volume (id),
  tenant_id            TEXT    NOT NULL REFERENCES tenant (id),
  delete_with_instance INTEGER NOT NULL CHECK (delete_with_instance IN (0, 1)),
  created_at           BIGINT  NOT NULL,
  PRIMARY KEY (instance_id, slot)
);

CREATE INDEX attachment_by_volume ON attachment (volume_id);

CREATE TABLE snapshot (
  id         TEXT    NOT NULL PRIMARY KEY,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  volume_id  TEXT    NOT NULL REFERENCES volume (id),
  name       TEXT    NOT NULL CHECK (name <> ''),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  host_id    TEXT    NOT NULL REFERENCES host (id),
  -- wanted
  deleted_at BIGINT,
  -- seen
  state      TEXT    NOT NULL CHECK (state IN ('requested', 'available', 'gone')),
  size_gib   INTEGER NOT NULL DEFAULT 0,
  gone_at    BIGINT
);

CREATE UNIQUE INDEX snapshot_name ON snapshot (tenant_id, name) WHERE deleted_at IS NULL;

CREATE INDEX snapshot_by_volume ON snapshot (volume_id) WHERE gone_at IS NULL;

CREATE TABLE port (
  id                   TEXT    NOT NULL PRIMARY KEY,
  tenant_id            TEXT    NOT NULL REFERENCES tenant (id),
  network_id           TEXT    NOT NULL REFERENCES network (id),
  instance_id          TEXT    REFERENCES instance (id),
  slot                 INTEGER NOT NULL DEFAULT 0,
  mac                  TEXT    NOT NULL CHECK (mac <> '' AND mac = lower(mac)),
  name                 TEXT    NOT NULL DEFAULT '',
  labels               TEXT    NOT NULL DEFAULT '{}',
  delete_with_instance INTEGER NOT NULL DEFAULT 0 CHECK (delete_with_instance IN (0, 1)),
  created_at           BIGINT  NOT NULL,
  updated_at           BIGINT  NOT NULL,
  revision             BIGINT  NOT NULL DEFAULT 1,
  deleted_at           BIGINT
);

CREATE UNIQUE INDEX port_mac ON port (mac) WHERE deleted_at IS NULL;

CREATE INDEX port_by_instance ON port (instance_id) WHERE deleted_at IS NULL;

CREATE INDEX port_in_use ON port (network_id) WHERE deleted_at IS NULL AND instance_id IS NOT NULL;

CREATE TABLE port_fixed_ip (
  port_id     TEXT    NOT NULL REFERENCES port (id),
  subnet_id   TEXT    NOT NULL REFERENCES subnet (id),
  address     TEXT    NOT NULL CHECK (address <> ''),
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  created_at  BIGINT  NOT NULL,
  released_at BIGINT,
  PRIMARY KEY (port_id, subnet_id, address)
);

CREATE UNIQUE INDEX port_fixed_ip_address ON port_fixed_ip (subnet_id, address) WHERE released_at IS NULL;

CREATE TABLE port_security_group (
  port_id           TEXT    NOT NULL REFERENCES port (id),
  security_group_id TEXT    NOT NULL REFERENCES security_group (id),
  tenant_id         TEXT    NOT NULL REFERENCES tenant (id),
  created_at        BIGINT  NOT NULL,
  PRIMARY KEY (port_id, security_group_id)
);

CREATE INDEX port_security_group_by_group ON port_security_group (security_group_id);

CREATE TABLE floating_ip (
  id            TEXT    NOT NULL PRIMARY KEY,
  tenant_id     TEXT    NOT NULL REFERENCES tenant (id),
  address       TEXT    NOT NULL CHECK (address <> ''),
  port_id       TEXT    REFERENCES port (id),
  fixed_address TEXT    NOT NULL DEFAULT '',
  labels        TEXT    NOT NULL DEFAULT '{}',
  created_at    BIGINT  NOT NULL,
  updated_at    BIGINT  NOT NULL,
  revision      BIGINT  NOT NULL DEFAULT 1,
  released_at   BIGINT
);

CREATE UNIQUE INDEX floating_ip_address ON floating_ip (address) WHERE released_at IS NULL;

CREATE INDEX floating_ip_by_port ON floating_ip (port_id) WHERE released_at IS NULL;

CREATE TABLE event (
  seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at           BIGINT  NOT NULL,
  tenant_id    TEXT    REFERENCES tenant (id),
  subject_kind TEXT    NOT NULL,
  subject_id   TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  type         TEXT    NOT NULL CHECK (type <> ''),
  message      TEXT    NOT NULL,
  data         TEXT    NOT NULL DEFAULT '{}',
  user_id      TEXT    NOT NULL DEFAULT '',
  via          TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX event_by_tenant ON event (tenant_id, seq);

CREATE INDEX event_by_subject ON event (subject_id, seq);

CREATE TABLE usage_interval (
  seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  resource_id TEXT    NOT NULL CHECK (resource_id <> ''),
  resource    TEXT    NOT NULL,
  slot        TEXT    NOT NULL CHECK (slot <> ''),
  meter       TEXT    NOT NULL CHECK (meter <> ''),
  amount      BIGINT  NOT NULL CHECK (amount >= 0),
  state       TEXT    NOT NULL,
  started_at  BIGINT  NOT NULL,
  ended_at    BIGINT  CHECK (ended_at > started_at),
  evidence    TEXT    NOT NULL DEFAULT '',
  CHECK ((ended_at IS NULL) = (evidence = ''))
);

CREATE UNIQUE INDEX usage_interval_open ON usage_interval (resource_id, slot, meter) WHERE ended_at IS NULL;

CREATE INDEX usage_interval_by_slot ON usage_interval (resource_id, slot, meter, started_at);

CREATE TABLE usage_drop (
  seq         BIGINT  NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  resource_id TEXT    NOT NULL,
  slot        TEXT    NOT NULL,
  meter       TEXT    NOT NULL,
  amount      BIGINT  NOT NULL,
  started_at  BIGINT  NOT NULL,
  dropped_at  BIGINT  NOT NULL CHECK (dropped_at <= started_at)
, resource TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT '');

CREATE TRIGGER usage_interval_close_once
BEFORE UPDATE ON usage_interval
WHEN OLD.ended_at IS NOT NULL
  OR NEW.ended_at IS NULL
  OR NEW.seq <> OLD.seq
  OR NEW.tenant_id <> OLD.tenant_id
  OR NEW.resource_id <> OLD.resource_id
  OR NEW.resource <> OLD.resource
  OR NEW.slot <> OLD.slot
  OR NEW.meter <> OLD.meter
  OR NEW.amount <> OLD.amount
  OR NEW.state <> OLD.state
  OR NEW.started_at <> OLD.started_at
BEGIN
  SELECT RAISE(ABORT, 'usage_interval: the only change is to be closed once');
END;

CREATE TRIGGER usage_interval_no_delete
BEFORE DELETE ON usage_interval
WHEN OLD.ended_at IS NOT NULL
  OR NOT EXISTS (SELECT 1 FROM usage_drop d WHERE d.seq = OLD.seq)
BEGIN
  SELECT RAISE(ABORT, 'usage_interval: rows stay');
END;

CREATE TRIGGER usage_drop_of_open_row
BEFORE INSERT ON usage_drop
WHEN NOT EXISTS (
  SELECT 1
  FROM usage_interval u
  WHERE u.seq = NEW.seq
    AND u.tenant_id = NEW.tenant_id
    AND u.resource_id = NEW.resource_id
    AND u.slot = NEW.slot
    AND u.meter = NEW.meter
    AND u.amount = NEW.amount
    AND u.started_at = NEW.started_at
    AND u.ended_at IS NULL
)
BEGIN
  SELECT RAISE(ABORT, 'usage_drop: not an open interval');
END;

CREATE TRIGGER usage_drop_no_update
BEFORE UPDATE ON usage_drop
BEGIN
  SELECT RAISE(ABORT, 'usage_drop: rows stay');
END;

CREATE TRIGGER usage_drop_no_delete
BEFORE DELETE ON usage_drop
BEGIN
  SELECT RAISE(ABORT, 'usage_drop: rows stay');
END;

CREATE UNIQUE INDEX user_subject ON "user" (issuer, subject) WHERE subject <> '' AND deleted_at IS NULL;

CREATE INDEX user_by_age ON "user" (created_at, id);

CREATE INDEX token_by_age ON token (created_at, id);

CREATE INDEX token_by_end ON token (expires_at) WHERE kind = 'session';

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

CREATE TABLE quota (
  tenant_id  TEXT   NOT NULL REFERENCES tenant (id),
  resource   TEXT   NOT NULL CHECK (resource <> ''),
  most       BIGINT NOT NULL CHECK (most >= 0),
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, resource)
);

CREATE TABLE quota_default (
  resource   TEXT   NOT NULL PRIMARY KEY CHECK (resource <> ''),
  most       BIGINT NOT NULL CHECK (most >= 0),
  updated_at BIGINT NOT NULL
);

CREATE TABLE host_use (
  host_id    TEXT   NOT NULL PRIMARY KEY REFERENCES host (id),
  instances  BIGINT NOT NULL DEFAULT 0 CHECK (instances >= 0),
  vcpus      BIGINT NOT NULL DEFAULT 0 CHECK (vcpus >= 0),
  memory_mib BIGINT NOT NULL DEFAULT 0 CHECK (memory_mib >= 0)
);

CREATE TRIGGER host_use_begins
AFTER INSERT ON host
BEGIN
  INSERT INTO host_use (host_id) VALUES (NEW.id);
END;

CREATE TRIGGER host_use_takes
AFTER INSERT ON instance
WHEN NEW.gone_at IS NULL
BEGIN
  UPDATE host_use
  SET instances = instances + 1,
      vcpus = vcpus + MAX(NEW.vcpus, NEW.running_vcpus),
      memory_mib = memory_mib + MAX(NEW.memory_mib, NEW.running_memory_mib)
  WHERE host_id = NEW.host_id;
END;

CREATE TRIGGER host_use_changes
AFTER UPDATE OF host_id, vcpus, memory_mib, running_vcpus, running_memory_mib, gone_at ON instance
WHEN OLD.host_id <> NEW.host_id
  OR MAX(OLD.vcpus, OLD.running_vcpus) <> MAX(NEW.vcpus, NEW.running_vcpus)
  OR MAX(OLD.memory_mib, OLD.running_memory_mib) <> MAX(NEW.memory_mib, NEW.running_memory_mib)
  OR (OLD.gone_at IS NULL) <> (NEW.gone_at IS NULL)
BEGIN
  UPDATE host_use
  SET instances = instances - 1,
      vcpus = vcpus - MAX(OLD.vcpus, OLD.running_vcpus),
      memory_mib = memory_mib - MAX(OLD.memory_mib, OLD.running_memory_mib)
  WHERE host_id = OLD.host_id
    AND OLD.gone_at IS NULL;
  UPDATE host_use
  SET instances = instances + 1,
      vcpus = vcpus + MAX(NEW.vcpus, NEW.running_vcpus),
      memory_mib = memory_mib + MAX(NEW.memory_mib, NEW.running_memory_mib)
  WHERE host_id = NEW.host_id
    AND NEW.gone_at IS NULL;
END;

CREATE TRIGGER host_use_gives_back
AFTER DELETE ON instance
WHEN OLD.gone_at IS NULL
BEGIN
  UPDATE host_use
  SET instances = instances - 1,
      vcpus = vcpus - MAX(OLD.vcpus, OLD.running_vcpus),
      memory_mib = memory_mib - MAX(OLD.memory_mib, OLD.running_memory_mib)
  WHERE host_id = OLD.host_id;
END;

CREATE TABLE idempotency (
  scope      TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  status     INTEGER NOT NULL,
  location   TEXT    NOT NULL DEFAULT '',
  body       TEXT    NOT NULL,
  created_at BIGINT  NOT NULL, operation TEXT NOT NULL DEFAULT '', pending TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE oidc_login (
  id      TEXT   NOT NULL PRIMARY KEY,
  ends_at BIGINT NOT NULL
);

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

CREATE INDEX idempotency_pending ON idempotency (pending) WHERE pending <> '';

CREATE TABLE label (
  kind       TEXT   NOT NULL,
  object_id  TEXT   NOT NULL,
  key        TEXT   NOT NULL,
  value      TEXT   NOT NULL,
  tenant_id  TEXT   NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (kind, object_id, key)
) WITHOUT ROWID;

CREATE INDEX label_by_value ON label (kind, key, value, created_at, object_id);

CREATE INDEX label_of_tenant ON label (kind, tenant_id, key, value, created_at, object_id);

CREATE INDEX instance_by_name ON instance (name, id) WHERE gone_at IS NULL;

CREATE INDEX instance_of_tenant_by_name ON instance (tenant_id, name, id) WHERE gone_at IS NULL;

CREATE INDEX instance_by_state ON instance (state, created_at, id) WHERE gone_at IS NULL;

CREATE INDEX instance_of_tenant_by_state ON instance (tenant_id, state, created_at, id) WHERE gone_at IS NULL;

CREATE INDEX port_by_tenant ON port (tenant_id) WHERE deleted_at IS NULL;

CREATE INDEX image_by_tenant ON image (tenant_id) WHERE gone_at IS NULL;

CREATE INDEX snapshot_by_tenant ON snapshot (tenant_id) WHERE gone_at IS NULL;

CREATE INDEX floating_ip_by_tenant ON floating_ip (tenant_id) WHERE released_at IS NULL;

CREATE TRIGGER label_of_new_instance
AFTER INSERT ON instance
WHEN NEW.labels <> '{}' AND NEW.gone_at IS NULL
BEGIN
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'instance', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j;
END;

CREATE TRIGGER label_of_changed_instance
AFTER UPDATE OF labels, gone_at ON instance
WHEN OLD.labels <> NEW.labels OR (OLD.gone_at IS NULL) <> (NEW.gone_at IS NULL)
BEGIN
  DELETE FROM label WHERE kind = 'instance' AND object_id = NEW.id;
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'instance', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j
  WHERE NEW.gone_at IS NULL;
END;

CREATE TRIGGER label_of_lost_instance
AFTER DELETE ON instance
BEGIN
  DELETE FROM label WHERE kind = 'instance' AND object_id = OLD.id;
END;

CREATE TRIGGER label_of_new_image
AFTER INSERT ON image
WHEN NEW.labels <> '{}' AND NEW.gone_at IS NULL
BEGIN
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'image', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j;
END;

CREATE TRIGGER label_of_changed_image
AFTER UPDATE OF labels, gone_at ON image
WHEN OLD.labels <> NEW.labels OR (OLD.gone_at IS NULL) <> (NEW.gone_at IS NULL)
BEGIN
  DELETE FROM label WHERE kind = 'image' AND object_id = NEW.id;
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'image', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j
  WHERE NEW.gone_at IS NULL;
END;

CREATE TRIGGER label_of_lost_image
AFTER DELETE ON image
BEGIN
  DELETE FROM label WHERE kind = 'image' AND object_id = OLD.id;
END;

CREATE TRIGGER label_of_new_network
AFTER INSERT ON network
WHEN NEW.labels <> '{}' AND NEW.gone_at IS NULL
BEGIN
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'network', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j;
END;

CREATE TRIGGER label_of_changed_network
AFTER UPDATE OF labels, gone_at ON network
WHEN OLD.labels <> NEW.labels OR (OLD.gone_at IS NULL) <> (NEW.gone_at IS NULL)
BEGIN
  DELETE FROM label WHERE kind = 'network' AND object_id = NEW.id;
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'network', NEW.id, j.key, j.value, NEW.tenant_id, NEW.created_at
  FROM json_each(NEW.labels) j
  WHERE NEW.gone_at IS NULL;
END;

CREATE TRIGGER label_of_lost_network
AFTER DELETE ON network
BEGIN
  DELETE FROM label WHERE kind = 'network' AND object_id = OLD.id;
END;

CREATE TRIGGER label_of_new_tenant
AFTER INSERT ON tenant
WHEN NEW.labels <> '{}' AND NEW.deleted_at IS NULL
BEGIN
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'tenant', NEW.id, j.key, j.value, NEW.id, NEW.created_at
  FROM json_each(NEW.labels) j;
END;

CREATE TRIGGER label_of_changed_tenant
AFTER UPDATE OF labels, deleted_at ON tenant
WHEN OLD.labels <> NEW.labels OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
BEGIN
  DELETE FROM label WHERE kind = 'tenant' AND object_id = NEW.id;
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'tenant', NEW.id, j.key, j.value, NEW.id, NEW.created_at
  FROM json_each(NEW.labels) j
  WHERE NEW.deleted_at IS NULL;
END;

CREATE TRIGGER label_of_lost_tenant
AFTER DELETE ON tenant
BEGIN
  DELETE FROM label WHERE kind = 'tenant' AND object_id = OLD.id;
END;

CREATE TRIGGER label_of_new_user
AFTER INSERT ON "user"
WHEN NEW.labels <> '{}' AND NEW.deleted_at IS NULL
BEGIN
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'user', NEW.id, j.key, j.value, '', NEW.created_at
  FROM json_each(NEW.labels) j;
END;

CREATE TRIGGER label_of_changed_user
AFTER UPDATE OF labels, deleted_at ON "user"
WHEN OLD.labels <> NEW.labels OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)
BEGIN
  DELETE FROM label WHERE kind = 'user' AND object_id = NEW.id;
  INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
  SELECT 'user', NEW.id, j.key, j.value, '', NEW.created_at
  FROM json_each(NEW.labels) j
  WHERE NEW.deleted_at IS NULL;
END;

CREATE TRIGGER label_of_lost_user
AFTER DELETE ON "user"
BEGIN
  DELETE FROM label WHERE kind = 'user' AND object_id = OLD.id;
END;

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

CREATE TABLE usage_clock (
  host_id TEXT   NOT NULL PRIMARY KEY REFERENCES host (id),
  boot_id TEXT   NOT NULL,
  boot_ns BIGINT NOT NULL,
  at_ns   BIGINT NOT NULL
);

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

CREATE TABLE usage_recount (
  hour      BIGINT NOT NULL,
  tenant_id TEXT   NOT NULL REFERENCES tenant (id),
  PRIMARY KEY (hour, tenant_id)
) WITHOUT ROWID;

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

CREATE TABLE usage_traffic (
  seq           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  tenant_id     TEXT    NOT NULL REFERENCES tenant (id),
  resource_id   TEXT    NOT NULL CHECK (resource_id <> ''),
  slot          TEXT    NOT NULL CHECK (slot <> ''),
  meter         TEXT    NOT NULL CHECK (meter IN ('egress', 'ingress')),
  bytes         BIGINT  NOT NULL CHECK (bytes > 0 AND bytes = counter_end - counter_start),
  started_at    BIGINT  NOT NULL,
  ended_at      BIGINT  NOT NULL CHECK (ended_at > started_at),
  run           BIGINT  NOT NULL CHECK (run <= started_at),
  device        TEXT    NOT NULL,
  counter_start BIGINT  NOT NULL CHECK (counter_start >= 0),
  counter_end   BIGINT  NOT NULL
);

CREATE UNIQUE INDEX usage_traffic_by_slot ON usage_traffic (resource_id, slot, meter, ended_at);

CREATE INDEX usage_traffic_by_tenant ON usage_traffic (tenant_id, ended_at);

CREATE TRIGGER usage_traffic_in_order
BEFORE INSERT ON usage_traffic
WHEN EXISTS (
  SELECT 1
  FROM usage_traffic u
  WHERE u.resource_id = NEW.resource_id
    AND u.slot = NEW.slot
    AND u.meter = NEW.meter
    AND u.ended_at > NEW.started_at
)
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: overlaps a row of the same counter');
END;

CREATE TRIGGER usage_traffic_goes_on
BEFORE INSERT ON usage_traffic
WHEN NEW.counter_start <> COALESCE((
  SELECT CASE WHEN u.run = NEW.run AND u.device = NEW.device AND u.counter_end <= NEW.counter_end THEN u.counter_end ELSE 0 END
  FROM usage_traffic u
  WHERE u.resource_id = NEW.resource_id
    AND u.slot = NEW.slot
    AND u.meter = NEW.meter
  ORDER BY u.ended_at DESC
  LIMIT 1
), 0)
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: does not go on from the row before');
END;

CREATE TRIGGER usage_traffic_no_update
BEFORE UPDATE ON usage_traffic
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: rows stay');
END;

CREATE TRIGGER usage_traffic_no_delete
BEFORE DELETE ON usage_traffic
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: rows stay');
END;

CREATE TABLE price_currency (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  currency TEXT    NOT NULL CHECK (length(currency) = 3)
);

CREATE TABLE price (
  seq             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id              TEXT    NOT NULL UNIQUE,
  tenant_id       TEXT    REFERENCES tenant (id),
  meter           TEXT    NOT NULL CHECK (meter <> ''),
  flavor_id       TEXT    NOT NULL,
  selector        TEXT    NOT NULL,
  unit_price      TEXT    NOT NULL CHECK (unit_price <> '' AND unit_price NOT GLOB '*[^0-9.]*'),
  currency        TEXT    NOT NULL,
  valid_from      BIGINT  NOT NULL CHECK (valid_from % 3600000 = 0),
  valid_to        BIGINT  CHECK (valid_to % 3600000 = 0),
  minimum_seconds BIGINT  NOT NULL CHECK (minimum_seconds BETWEEN 0 AND 86400),
  cap_hours       BIGINT  NOT NULL CHECK (cap_hours BETWEEN 0 AND 744),
  states          TEXT    NOT NULL,
  created_at      BIGINT  NOT NULL,
  CHECK (valid_to > valid_from),
  CHECK (valid_from >= created_at - created_at % 3600000)
);

CREATE INDEX price_by_meter ON price (meter, flavor_id, selector, valid_from);

CREATE INDEX price_by_tenant ON price (tenant_id);

CREATE TABLE price_end (
  seq      INTEGER NOT NULL PRIMARY KEY REFERENCES price (seq),
  ended_at BIGINT  NOT NULL CHECK (ended_at % 3600000 = 0),
  said_at  BIGINT  NOT NULL CHECK (said_at <= ended_at)
);

CREATE TABLE discount (
  seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL UNIQUE,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  meter      TEXT    NOT NULL,
  percent    TEXT    NOT NULL CHECK (percent <> '' AND percent NOT GLOB '*[^0-9.]*'),
  valid_from BIGINT  NOT NULL CHECK (valid_from % 3600000 = 0),
  valid_to   BIGINT  CHECK (valid_to % 3600000 = 0),
  created_at BIGINT  NOT NULL,
  CHECK (valid_to > valid_from),
  CHECK (valid_from >= created_at - created_at % 3600000)
);

CREATE INDEX discount_by_tenant ON discount (tenant_id, meter, valid_from);

CREATE TABLE discount_end (
  seq      INTEGER NOT NULL PRIMARY KEY REFERENCES discount (seq),
  ended_at BIGINT  NOT NULL CHECK (ended_at % 3600000 = 0),
  said_at  BIGINT  NOT NULL CHECK (said_at <= ended_at)
);

CREATE VIEW price_now AS
SELECT p.*, COALESCE(e.ended_at, p.valid_to) AS until
FROM price p
LEFT JOIN price_end e ON e.seq = p.seq;

CREATE VIEW discount_now AS
SELECT d.*, COALESCE(e.ended_at, d.valid_to) AS until
FROM discount d
LEFT JOIN discount_end e ON e.seq = d.seq;

CREATE TRIGGER price_currency_is_used
BEFORE UPDATE ON price_currency
WHEN EXISTS (SELECT 1 FROM price_now p WHERE p.until IS NULL OR p.until > p.valid_from)
BEGIN
  SELECT RAISE(ABORT, 'price_currency: there are prices in it');
END;

CREATE TRIGGER price_currency_no_delete
BEFORE DELETE ON price_currency
BEGIN
  SELECT RAISE(ABORT, 'price_currency: rows stay');
END;

CREATE TRIGGER price_in_the_currency
BEFORE INSERT ON price
WHEN NOT EXISTS (SELECT 1 FROM price_currency c WHERE c.currency = NEW.currency)
BEGIN
  SELECT RAISE(ABORT, 'price: not in the currency of the book');
END;

CREATE TRIGGER price_no_update
BEFORE UPDATE ON price
BEGIN
  SELECT RAISE(ABORT, 'price: rows stay');
END;

CREATE TRIGGER price_no_delete
BEFORE DELETE ON price
BEGIN
  SELECT RAISE(ABORT, 'price: rows stay');
END;

CREATE TRIGGER price_end_within
BEFORE INSERT ON price_end
WHEN NOT EXISTS (
  SELECT 1
  FROM price p
  WHERE p.seq = NEW.seq
    AND NEW.ended_at >= p.valid_from
    AND (p.valid_to IS NULL OR NEW.ended_at < p.valid_to)
    AND NEW.said_at >= p.created_at
)
BEGIN
  SELECT RAISE(ABORT, 'price_end: not within the price');
END;

CREATE TRIGGER price_end_no_update
BEFORE UPDATE ON price_end
BEGIN
  SELECT RAISE(ABORT, 'price_end: rows stay');
END;

CREATE TRIGGER price_end_no_delete
BEFORE DELETE ON price_end
BEGIN
  SELECT RAISE(ABORT, 'price_end: rows stay');
END;

CREATE TRIGGER discount_no_overlap
BEFORE INSERT ON discount
WHEN EXISTS (
  SELECT 1
  FROM discount_now d
  WHERE d.tenant_id = NEW.tenant_id
    AND d.meter = NEW.meter
    AND (d.until IS NULL OR (d.until > d.valid_from AND d.until > NEW.valid_from))
    AND (NEW.valid_to IS NULL OR d.valid_from < NEW.valid_to)
)
BEGIN
  SELECT RAISE(ABORT, 'discount: overlaps a discount of the same');
END;

CREATE TRIGGER discount_no_update
BEFORE UPDATE ON discount
BEGIN
  SELECT RAISE(ABORT, 'discount: rows stay');
END;

CREATE TRIGGER discount_no_delete
BEFORE DELETE ON discount
BEGIN
  SELECT RAISE(ABORT, 'discount: rows stay');
END;

CREATE TRIGGER discount_end_within
BEFORE INSERT ON discount_end
WHEN NOT EXISTS (
  SELECT 1
  FROM discount d
  WHERE d.seq = NEW.seq
    AND NEW.ended_at >= d.valid_from
    AND (d.valid_to IS NULL OR NEW.ended_at < d.valid_to)
    AND NEW.said_at >= d.created_at
)
BEGIN
  SELECT RAISE(ABORT, 'discount_end: not within the discount');
END;

CREATE TRIGGER discount_end_no_update
BEFORE UPDATE ON discount_end
BEGIN
  SELECT RAISE(ABORT, 'discount_end: rows stay');
END;

CREATE TRIGGER discount_end_no_delete
BEFORE DELETE ON discount_end
BEGIN
  SELECT RAISE(ABORT, 'discount_end: rows stay');
END;

CREATE TABLE invoice (
  seq         INTEGER NOT NULL PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  number      TEXT    NOT NULL UNIQUE CHECK (number <> ''),
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  tenant      TEXT    NOT NULL,
  month       BIGINT  NOT NULL,
  issuer      TEXT    NOT NULL,
  currency    TEXT    NOT NULL CHECK (length(currency) = 3),
  minor       INTEGER NOT NULL CHECK (minor BETWEEN 0 AND 4),
  subtotal    TEXT    NOT NULL,
  tax_percent TEXT    NOT NULL,
  tax         TEXT    NOT NULL,
  rounding    TEXT    NOT NULL,
  total       TEXT    NOT NULL,
  unpriced    INTEGER NOT NULL CHECK (unpriced IN (0, 1)),
  lines       BIGINT  NOT NULL CHECK (lines >= 0),
  hours_seq   BIGINT  NOT NULL,
  head_n      BIGINT  NOT NULL,
  head_hash   BLOB    NOT NULL CHECK (length(head_hash) = 32),
  created_at  BIGINT  NOT NULL, next_interval BIGINT,
  UNIQUE (tenant_id, month)
);

CREATE TABLE invoice_line (
  invoice     BIGINT  NOT NULL REFERENCES invoice (seq),
  n           BIGINT  NOT NULL,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  month       BIGINT  NOT NULL,
  correction  INTEGER NOT NULL CHECK (correction IN (0, 1)),
  kind        TEXT    NOT NULL CHECK (kind IN ('usage', 'minimum', 'beyond_cap')),
  resource_id TEXT    NOT NULL CHECK (resource_id <> ''),
  resource    TEXT    NOT NULL,
  slot        TEXT    NOT NULL CHECK (slot <> ''),
  meter       TEXT    NOT NULL CHECK (meter <> ''),
  price_id    TEXT    NOT NULL REFERENCES price (id),
  discount_id TEXT    REFERENCES discount (id),
  quantity    TEXT    NOT NULL,
  unit_price  TEXT    NOT NULL,
  percent     TEXT    NOT NULL,
  cost        TEXT    NOT NULL,
  PRIMARY KEY (invoice, n)
) WITHOUT ROWID;

CREATE INDEX invoice_line_by_month ON invoice_line (tenant_id, month);

CREATE TRIGGER invoice_without_gaps
BEFORE INSERT ON invoice
WHEN NEW.seq <> 1 + COALESCE((SELECT MAX(seq) FROM invoice), 0)
BEGIN
  SELECT RAISE(ABORT, 'invoice: the numbers have no gaps');
END;

CREATE TRIGGER invoice_of_a_month
BEFORE INSERT ON invoice
WHEN strftime('%d %H:%M:%f', NEW.month / 1000.0, 'unixepoch') <> '01 00:00:00.000'
BEGIN
  SELECT RAISE(ABORT, 'invoice: not the first instant of a month');
END;

CREATE TRIGGER invoice_of_closed_hours
BEFORE INSERT ON invoice
WHEN unixepoch(NEW.month / 1000, 'unixepoch', '+1 month') * 1000 - 3600000 > COALESCE((SELECT MAX(hour) FROM usage_close), NEW.month - 1)
BEGIN
  SELECT RAISE(ABORT, 'invoice: the month is not closed');
END;

CREATE TRIGGER invoice_behind_corrections
BEFORE INSERT ON invoice
WHEN EXISTS (
  SELECT 1
  FROM usage_recount r
  WHERE r.tenant_id = NEW.tenant_id
    AND r.hour >= NEW.month
    AND r.hour < unixepoch(NEW.month / 1000, 'unixepoch', '+1 month') * 1000
)
BEGIN
  SELECT RAISE(ABORT, 'invoice: hours of the month wait for their correction');
END;

CREATE TRIGGER invoice_at_the_head
BEFORE INSERT ON invoice
WHEN NEW.head_n <> COALESCE((SELECT MAX(n) FROM usage_seal), 0)
  OR (NEW.head_n > 0 AND NEW.head_hash IS NOT (SELECT hash FROM usage_seal WHERE n = NEW.head_n))
BEGIN
  SELECT RAISE(ABORT, 'invoice: not the head of the chain');
END;

CREATE TRIGGER invoice_in_the_currency
BEFORE INSERT ON invoice
WHEN NOT EXISTS (SELECT 1 FROM price_currency c WHERE c.currency = NEW.currency)
BEGIN
  SELECT RAISE(ABORT, 'invoice: not in the currency of the book');
END;

CREATE TRIGGER invoice_no_update
BEFORE UPDATE ON invoice
BEGIN
  SELECT RAISE(ABORT, 'invoice: rows stay');
END;

CREATE TRIGGER invoice_no_delete
BEFORE DELETE ON invoice
BEGIN
  SELECT RAISE(ABORT, 'invoice: rows stay');
END;

CREATE TRIGGER invoice_line_in_order
BEFORE INSERT ON invoice_line
WHEN NEW.n <> 1 + COALESCE((SELECT MAX(l.n) FROM invoice_line l WHERE l.invoice = NEW.invoice), 0)
  OR NEW.n > COALESCE((SELECT i.lines FROM invoice i WHERE i.seq = NEW.invoice), 0)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: not the next line of its invoice');
END;

CREATE TRIGGER invoice_line_of_the_month
BEFORE INSERT ON invoice_line
WHEN NOT EXISTS (
  SELECT 1
  FROM invoice i
  WHERE i.seq = NEW.invoice
    AND i.tenant_id = NEW.tenant_id
    AND (i.month = NEW.month) = (NEW.correction = 0)
)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: of another tenant, or of another month and no correction');
END;

CREATE TRIGGER invoice_line_before_the_seal
BEFORE INSERT ON invoice_line
WHEN EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = 'invoice' AND s.ref = NEW.invoice)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: the invoice is sealed');
END;

CREATE TRIGGER invoice_line_no_update
BEFORE UPDATE ON invoice_line
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: rows stay');
END;

CREATE TRIGGER invoice_line_no_delete
BEFORE DELETE ON invoice_line
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: rows stay');
END;

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
, old_secret BLOB CHECK (length(old_secret) BETWEEN 24 AND 64), old_until BIGINT CHECK ((old_until IS NULL) = (old_secret IS NULL)));

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
, deleted_at BIGINT);

CREATE UNIQUE INDEX budget_name ON budget (tenant_id, name);

CREATE INDEX budget_by_webhook ON budget (webhook_id);

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

CREATE INDEX instance_stopped_by ON instance (stopped_by_id) WHERE stopped_by_id <> '';

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
, deleted_at BIGINT);

CREATE UNIQUE INDEX schedule_name ON schedule (tenant_id, name);

CREATE TABLE schedule_rest (
  seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  schedule_id TEXT    NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
  instance_id TEXT    NOT NULL REFERENCES instance (id),
  from_at     BIGINT  NOT NULL,
  until_at    BIGINT
);

CREATE UNIQUE INDEX schedule_rest_open ON schedule_rest (instance_id) WHERE until_at IS NULL;

CREATE INDEX schedule_rest_by_schedule ON schedule_rest (schedule_id, from_at);

CREATE TABLE usage_sink (
  url       TEXT    NOT NULL PRIMARY KEY CHECK (url <> ''),
  hour_seq  BIGINT  NOT NULL DEFAULT 0,
  taken     BIGINT  NOT NULL DEFAULT 0 CHECK (taken >= 0),
  sent      BIGINT  NOT NULL DEFAULT 0,
  sent_at   BIGINT
) WITHOUT ROWID;

CREATE TRIGGER usage_sink_goes_forward
BEFORE UPDATE ON usage_sink
WHEN NEW.hour_seq < OLD.hour_seq
  OR (NEW.hour_seq = OLD.hour_seq AND OLD.taken = 0)
  OR (NEW.hour_seq = OLD.hour_seq AND NEW.taken > 0 AND NEW.taken <= OLD.taken)
  OR NEW.url <> OLD.url
BEGIN
  SELECT RAISE(ABORT, 'usage_sink: it only goes forward');
END;

CREATE INDEX usage_interval_by_tenant ON usage_interval (tenant_id, ended_at, started_at);

CREATE TRIGGER usage_interval_no_overlap
BEFORE INSERT ON usage_interval
WHEN EXISTS (
  SELECT 1
  FROM usage_interval u
  WHERE u.resource_id = NEW.resource_id
    AND u.slot = NEW.slot
    AND u.meter = NEW.meter
    AND u.started_at >= NEW.started_at
    AND u.started_at < COALESCE(NEW.ended_at, 9223372036854775807)
)
OR EXISTS (
  SELECT 1
  FROM (
    SELECT u.ended_at
    FROM usage_interval u
    WHERE u.resource_id = NEW.resource_id
      AND u.slot = NEW.slot
      AND u.meter = NEW.meter
      AND u.started_at < NEW.started_at
    ORDER BY u.started_at DESC
    LIMIT 1
  ) p
  WHERE p.ended_at IS NULL
    OR p.ended_at > NEW.started_at
)
BEGIN
  SELECT RAISE(ABORT, 'usage_interval: overlaps an interval of the same meter');
END;

CREATE TABLE usage_bytes (
  from_hour BIGINT NOT NULL CHECK (from_hour % 3600000 = 0)
);

CREATE TRIGGER usage_bytes_no_insert
BEFORE INSERT ON usage_bytes
BEGIN
  SELECT RAISE(ABORT, 'usage_bytes: rows stay');
END;

CREATE TRIGGER usage_bytes_no_update
BEFORE UPDATE ON usage_bytes
BEGIN
  SELECT RAISE(ABORT, 'usage_bytes: rows stay');
END;

CREATE TRIGGER usage_bytes_no_delete
BEFORE DELETE ON usage_bytes
BEGIN
  SELECT RAISE(ABORT, 'usage_bytes: rows stay');
END;

CREATE TRIGGER usage_traffic_of_an_hour
BEFORE INSERT ON usage_traffic
WHEN NEW.started_at / 3600000 <> (NEW.ended_at - 1) / 3600000
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: of more than one hour');
END;

CREATE INDEX usage_traffic_by_end ON usage_traffic (ended_at, tenant_id);

CREATE INDEX webhook_delivery_given_up ON webhook_delivery (given_up_at) WHERE given_up_at IS NOT NULL;

CREATE TABLE restore (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  backup_id   TEXT    NOT NULL CHECK (backup_id <> ''),
  taken_at    BIGINT  NOT NULL,
  restored_at BIGINT  NOT NULL,
  adopted_at  BIGINT,
  report      TEXT    NOT NULL DEFAULT '{}'
);

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

CREATE INDEX port_ended ON port (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE VIEW price_term AS
WITH RECURSIVE cut (seq, term, rest) AS (
  SELECT seq, '', selector || ','
  FROM price
  WHERE selector <> ''
  UNION ALL
  SELECT
    seq,
    -- a comma within brackets ends no term
    CASE WHEN term LIKE '%(%' AND term NOT LIKE '%)' THEN term || ',' ELSE '' END || substr(rest, 1, instr(rest, ',') - 1),
    substr(rest, instr(rest, ',') + 1)
  FROM cut
  WHERE rest <> ''
)
SELECT seq, term
FROM cut
WHERE term <> ''
  AND (term NOT LIKE '%(%' OR term LIKE '%)');

CREATE TRIGGER price_no_overlap
AFTER INSERT ON price
WHEN EXISTS (
  SELECT 1
  FROM price_now p
  WHERE p.seq <> NEW.seq
    AND p.meter = NEW.meter
    AND p.flavor_id = NEW.flavor_id
    AND p.tenant_id IS NEW.tenant_id
    AND (p.until IS NULL OR (p.until > p.valid_from AND p.until > NEW.valid_from))
    AND (NEW.valid_to IS NULL OR p.valid_from < NEW.valid_to)
    AND (p.selector = NEW.selector OR (
      length(p.selector) = length(NEW.selector)
      AND NOT EXISTS (SELECT term FROM price_term WHERE seq = p.seq EXCEPT SELECT term FROM price_term WHERE seq = NEW.seq)
    ))
)
BEGIN
  SELECT RAISE(ABORT, 'price: overlaps a price of the same');
END;

CREATE TABLE usage_opening (
  from_seq BIGINT NOT NULL
);

CREATE TRIGGER usage_opening_no_insert
BEFORE INSERT ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

CREATE TRIGGER usage_opening_no_update
BEFORE UPDATE ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

CREATE TRIGGER usage_opening_no_delete
BEFORE DELETE ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

CREATE INDEX instance_due ON instance (host_id, created_at, id)
  WHERE gone_at IS NULL
    AND (observed_generation <> generation OR observed_boots <> boots OR task <> '' OR problem_code IS NOT NULL OR deleted_at IS NOT NULL);
