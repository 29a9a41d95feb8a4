PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE schema_migrations (
  version INTEGER NOT NULL PRIMARY KEY,
  name    TEXT    NOT NULL
);
INSERT INTO "schema_migrations" VALUES (1, '0001_init');
INSERT INTO "schema_migrations" VALUES (2, '0002_image_default');
CREATE TABLE tenant (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL CHECK (name <> ''),
  labels     TEXT    NOT NULL DEFAULT '{}',
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  deleted_at BIGINT
);
INSERT INTO "tenant" VALUES ('00000000-0000-4000-8000-000000000001', 'default', '{}', 1767225600000, 1767225600000, 1, NULL);
INSERT INTO "tenant" VALUES ('00000000-0000-4000-8000-000000000002', 'acme', '{}', 1767225600000, 1767225600000, 1, NULL);
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
);
INSERT INTO "user" VALUES ('00000000-0000-4000-8000-000000000003', 'ann', 'ann@example.org', 1, '{}', 1767225600000, 1767225600000, 1, NULL);
CREATE TABLE membership (
  user_id    TEXT    NOT NULL REFERENCES "user" (id),
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  role       TEXT    NOT NULL CHECK (role <> ''),
  created_at BIGINT  NOT NULL,
  updated_at BIGINT  NOT NULL,
  revision   BIGINT  NOT NULL DEFAULT 1,
  PRIMARY KEY (user_id, tenant_id)
);
INSERT INTO "membership" VALUES ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000002', 'admin', 1767225600000, 1767225600000, 1);
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
);
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
INSERT INTO "flavor" VALUES ('c2-m4', NULL, 2, 4096, 20, '{}', 1767225600000, 1767225600000, 1);
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
);
INSERT INTO "host" VALUES ('00000000-0000-4000-8000-00000000000a', 'rack1', 16, 65536, 'kvm', '0.1', 'QEMU 7.2.0, libvirt 9.0.0', '{}', 1767225600000, 1767225600000, 1, 1767225600000, NULL, '', NULL, NULL, 0, 1767236400000);
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
  gone_at          BIGINT, wants_default INTEGER NOT NULL DEFAULT 0 CHECK (wants_default IN (0, 1)),
  CHECK (state <> 'active' OR format <> ''),
  CHECK ((state = 'gone') = (gone_at IS NOT NULL))
);
INSERT INTO "image" VALUES ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000001', 'debian-12', '{}', 1767225600000, 1767225600000, 1, '00000000-0000-4000-8000-00000000000a', 1, 1, 'url', 'https://images.example.org/debian.qcow2', '', 'bios', 'debian', NULL, 'active', NULL, '', NULL, NULL, 0, 0, 'qcow2', '0000000000000000000000000000000000000000000000000000000000000000', 1048576, 2147483648, 0, 0, NULL, 0);
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
INSERT INTO "network" VALUES ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000002', 'default', '{}', 1767225600000, 1767225600000, 1, '00000000-0000-4000-8000-00000000000a', 1, NULL, NULL, '', NULL, NULL, 0, NULL);
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
INSERT INTO "subnet" VALUES ('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000c', '10.77.1.0/24', 1, '[]', '{}', 1767225600000, 1767225600000, 1);
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
CREATE TABLE router_interface (
  router_id  TEXT    NOT NULL REFERENCES router (id),
  subnet_id  TEXT    NOT NULL REFERENCES subnet (id),
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  created_at BIGINT  NOT NULL,
  PRIMARY KEY (router_id, subnet_id)
);
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
  gone_at             BIGINT,
  CHECK ((state = 'gone') = (gone_at IS NOT NULL)),
  CHECK (gone_at IS NULL OR deleted_at IS NOT NULL)
);
INSERT INTO "instance" VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000002', 'web1', '{"env":"prod"}', 1767229200000, 1767229200000, 1, '00000000-0000-4000-8000-00000000000a', 'c2-m4', 2, 4096, 20, '00000000-0000-4000-8000-00000000000b', '[]', '', 'bios', 1, 'running', 0, 1767229200000, 0, 1767229200000, NULL, 'running', '', NULL, '', NULL, NULL, 0, 0, 1, 1, 0, 2, 4096, 1767229205000, NULL);
INSERT INTO "instance" VALUES ('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-000000000002', 'web2', '{}', 1767229201000, 1767229201000, 1, '00000000-0000-4000-8000-00000000000a', '', 1, 512, 10, '00000000-0000-4000-8000-00000000000b', '[]', '', 'bios', 1, 'stopped', 0, 1767229201000, 0, 1767229201000, NULL, 'stopped', '', NULL, '', NULL, NULL, 0, 0, 1, 1, 0, 0, 0, NULL, NULL);
INSERT INTO "instance" VALUES ('00000000-0000-4000-8000-000000000013', '00000000-0000-4000-8000-000000000002', 'old', '{}', 1767229202000, 1767232800000, 1, '00000000-0000-4000-8000-00000000000a', '', 1, 512, 10, '00000000-0000-4000-8000-00000000000b', '[]', '', 'bios', 1, 'running', 0, 1767229202000, 0, 1767232800000, 1767232800000, 'gone', '', NULL, '', NULL, NULL, 0, 0, 2, 2, 0, 0, 0, NULL, 1767232801000);
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
INSERT INTO "volume" VALUES ('00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000002', '', '{}', 1767229200000, 1767229200000, 1, '00000000-0000-4000-8000-00000000000a', 20, '00000000-0000-4000-8000-00000000000b', NULL, 'available', NULL);
INSERT INTO "volume" VALUES ('00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000002', '', '{}', 1767229201000, 1767229201000, 1, '00000000-0000-4000-8000-00000000000a', 10, '00000000-0000-4000-8000-00000000000b', NULL, 'available', NULL);
INSERT INTO "volume" VALUES ('00000000-0000-4000-8000-000000000023', '00000000-0000-4000-8000-000000000002', '', '{}', 1767229202000, 1767232801000, 1, '00000000-0000-4000-8000-00000000000a', 10, '00000000-0000-4000-8000-00000000000b', 1767232800000, 'gone', 1767232801000);
CREATE TABLE attachment (
  instance_id          TEXT    NOT NULL REFERENCES instance (id),
  slot                 TEXT    NOT NULL CHECK (slot <> ''),
  volume_id            TEXT    NOT NULL REFERENCES volume (id),
  tenant_id            TEXT    NOT NULL REFERENCES tenant (id),
  delete_with_instance INTEGER NOT NULL CHECK (delete_with_instance IN (0, 1)),
  created_at           BIGINT  NOT NULL,
  PRIMARY KEY (instance_id, slot)
);
INSERT INTO "attachment" VALUES ('00000000-0000-4000-8000-000000000011', 'root', '00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000002', 1, 1767229200000);
INSERT INTO "attachment" VALUES ('00000000-0000-4000-8000-000000000012', 'root', '00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000002', 1, 1767229201000);
INSERT INTO "attachment" VALUES ('00000000-0000-4000-8000-000000000013', 'root', '00000000-0000-4000-8000-000000000023', '00000000-0000-4000-8000-000000000002', 1, 1767229202000);
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
INSERT INTO "port" VALUES ('00000000-0000-4000-8000-000000000031', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000011', 0, '52:54:00:00:00:11', 'web1', '{}', 1, 1767229200000, 1767229200000, 1, NULL);
INSERT INTO "port" VALUES ('00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000012', 0, '52:54:00:00:00:12', 'web2', '{}', 1, 1767229201000, 1767229201000, 1, NULL);
CREATE TABLE port_fixed_ip (
  port_id     TEXT    NOT NULL REFERENCES port (id),
  subnet_id   TEXT    NOT NULL REFERENCES subnet (id),
  address     TEXT    NOT NULL CHECK (address <> ''),
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  created_at  BIGINT  NOT NULL,
  released_at BIGINT,
  PRIMARY KEY (port_id, subnet_id, address)
);
INSERT INTO "port_fixed_ip" VALUES ('00000000-0000-4000-8000-000000000031', '00000000-0000-4000-8000-00000000000d', '10.77.1.2', '00000000-0000-4000-8000-000000000002', 1767229200000, NULL);
INSERT INTO "port_fixed_ip" VALUES ('00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-00000000000d', '10.77.1.3', '00000000-0000-4000-8000-000000000002', 1767229201000, NULL);
CREATE TABLE port_security_group (
  port_id           TEXT    NOT NULL REFERENCES port (id),
  security_group_id TEXT    NOT NULL REFERENCES security_group (id),
  tenant_id         TEXT    NOT NULL REFERENCES tenant (id),
  created_at        BIGINT  NOT NULL,
  PRIMARY KEY (port_id, security_group_id)
);
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
CREATE TABLE operation (
  id            TEXT    NOT NULL PRIMARY KEY,
  tenant_id     TEXT    REFERENCES tenant (id),
  kind          TEXT    NOT NULL CHECK (kind <> ''),
  subject_kind  TEXT    NOT NULL,
  subject_id    TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed')),
  error_code    TEXT,
  error_message TEXT    NOT NULL DEFAULT '',
  labels        TEXT    NOT NULL DEFAULT '{}',
  created_at    BIGINT  NOT NULL,
  updated_at    BIGINT  NOT NULL,
  revision      BIGINT  NOT NULL DEFAULT 1,
  finished_at   BIGINT
);
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
INSERT INTO "event" VALUES (1, 1767229200000, '00000000-0000-4000-8000-000000000002', 'instance', '00000000-0000-4000-8000-000000000011', 'web1', 'instance.created', 'The instance web1 was asked for.', '{}', '', '');
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
INSERT INTO "usage_interval" VALUES (1, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000011', 'web1', 'instance', 'instance', 1, 'running', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (2, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000011', 'web1', 'cpu', 'vcpu', 2, 'running', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (3, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000011', 'web1', 'memory', 'memory', 4096, 'running', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (4, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000011', 'web1', 'disk:root', 'disk', 20, 'running', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (5, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000012', 'web2', 'instance', 'instance', 1, 'stopped', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (6, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000012', 'web2', 'cpu', 'vcpu', 1, 'stopped', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (7, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000012', 'web2', 'memory', 'memory', 512, 'stopped', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (8, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000012', 'web2', 'disk:root', 'disk', 10, 'stopped', 1767229205000, NULL, '');
INSERT INTO "usage_interval" VALUES (9, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000013', 'old', 'instance', 'instance', 1, 'running', 1767229206000, 1767232800000, 'deleted');
INSERT INTO "usage_interval" VALUES (10, '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000013', 'old', 'cpu', 'vcpu', 1, 'running', 1767229206000, 1767232800000, 'deleted');
CREATE TABLE usage_drop (
  seq         BIGINT  NOT NULL PRIMARY KEY,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  resource_id TEXT    NOT NULL,
  slot        TEXT    NOT NULL,
  meter       TEXT    NOT NULL,
  amount      BIGINT  NOT NULL,
  started_at  BIGINT  NOT NULL,
  dropped_at  BIGINT  NOT NULL CHECK (dropped_at <= started_at)
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES ('event', 1);
INSERT INTO sqlite_sequence VALUES ('usage_interval', 10);
CREATE UNIQUE INDEX tenant_name ON tenant (name) WHERE deleted_at IS NULL;
CREATE INDEX tenant_by_age ON tenant (created_at, id);
CREATE UNIQUE INDEX user_name ON "user" (name) WHERE deleted_at IS NULL;
CREATE INDEX membership_by_tenant ON membership (tenant_id);
CREATE INDEX token_by_tenant ON token (tenant_id);
CREATE INDEX token_by_user ON token (user_id);
CREATE UNIQUE INDEX image_name ON image (tenant_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX image_default ON image (tenant_id) WHERE is_default = 1 AND deleted_at IS NULL;
CREATE INDEX image_by_age ON image (created_at, id) WHERE gone_at IS NULL;
CREATE UNIQUE INDEX network_name ON network (tenant_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX network_default ON network (tenant_id) WHERE is_default = 1 AND deleted_at IS NULL;
CREATE INDEX network_by_age ON network (created_at, id) WHERE gone_at IS NULL;
CREATE INDEX subnet_by_network ON subnet (network_id);
CREATE UNIQUE INDEX router_name ON router (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX router_interface_by_subnet ON router_interface (subnet_id);
CREATE UNIQUE INDEX security_group_name ON security_group (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX security_group_rule_by_group ON security_group_rule (security_group_id);
CREATE UNIQUE INDEX instance_name ON instance (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX instance_by_age ON instance (created_at, id, revision, gone_at) WHERE gone_at IS NULL;
CREATE INDEX instance_by_tenant ON instance (tenant_id, created_at, id, revision, gone_at) WHERE gone_at IS NULL;
CREATE INDEX instance_by_host ON instance (host_id, id, revision, gone_at) WHERE gone_at IS NULL;
CREATE INDEX instance_due ON instance (host_id)
  WHERE gone_at IS NULL
    AND (observed_generation <> generation OR observed_boots <> boots OR task <> '' OR problem_code IS NOT NULL OR deleted_at IS NOT NULL);
CREATE INDEX volume_by_image ON volume (image_id) WHERE gone_at IS NULL;
CREATE INDEX volume_by_tenant ON volume (tenant_id, created_at, id) WHERE gone_at IS NULL;
CREATE INDEX attachment_by_volume ON attachment (volume_id);
CREATE UNIQUE INDEX snapshot_name ON snapshot (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX snapshot_by_volume ON snapshot (volume_id) WHERE gone_at IS NULL;
CREATE UNIQUE INDEX port_mac ON port (mac) WHERE deleted_at IS NULL;
CREATE INDEX port_by_instance ON port (instance_id) WHERE deleted_at IS NULL;
CREATE INDEX port_in_use ON port (network_id) WHERE deleted_at IS NULL AND instance_id IS NOT NULL;
CREATE UNIQUE INDEX port_fixed_ip_address ON port_fixed_ip (subnet_id, address) WHERE released_at IS NULL;
CREATE INDEX port_security_group_by_group ON port_security_group (security_group_id);
CREATE UNIQUE INDEX floating_ip_address ON floating_ip (address) WHERE released_at IS NULL;
CREATE INDEX floating_ip_by_port ON floating_ip (port_id) WHERE released_at IS NULL;
CREATE INDEX operation_by_subject ON operation (subject_id);
CREATE INDEX event_by_tenant ON event (tenant_id, seq);
CREATE INDEX event_by_subject ON event (subject_id, seq);
CREATE UNIQUE INDEX usage_interval_open ON usage_interval (resource_id, slot, meter) WHERE ended_at IS NULL;
CREATE INDEX usage_interval_by_slot ON usage_interval (resource_id, slot, meter, started_at);
CREATE INDEX usage_interval_by_tenant ON usage_interval (tenant_id, started_at);
CREATE TRIGGER usage_interval_no_overlap
BEFORE INSERT ON usage_interval
WHEN EXISTS (
  SELECT 1
  FROM usage_interval u
  WHERE u.resource_id = NEW.resource_id
    AND u.slot = NEW.slot
    AND u.meter = NEW.meter
    AND (u.ended_at IS NULL OR u.ended_at > NEW.started_at)
    AND (NEW.ended_at IS NULL OR u.started_at < NEW.ended_at)
)
BEGIN
  SELECT RAISE(ABORT, 'usage_interval: overlaps an interval of the same meter');
END;
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
COMMIT;
