-- How much a tenant may have, and how much of a host is taken.

-- A row limits one resource of one tenant; a row of quota_default those tenants
-- that have none of their own. Without either there is no limit.
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

-- What may be promised of a host: CPUs times vcpu_ratio, and what memory is left
-- beside reserved_mib, times memory_ratio.
ALTER TABLE host ADD COLUMN vcpu_ratio REAL NOT NULL DEFAULT 16 CHECK (vcpu_ratio > 0);
ALTER TABLE host ADD COLUMN memory_ratio REAL NOT NULL DEFAULT 1 CHECK (memory_ratio > 0);
ALTER TABLE host ADD COLUMN reserved_mib BIGINT NOT NULL DEFAULT 0 CHECK (reserved_mib >= 0);

-- The sums of a host's instances, kept by the triggers below: a host has too many
-- to be added up for each one that is made. What runs with more than it is wanted
-- to have counts as it runs.
CREATE TABLE host_use (
  host_id    TEXT   NOT NULL PRIMARY KEY REFERENCES host (id),
  instances  BIGINT NOT NULL DEFAULT 0 CHECK (instances >= 0),
  vcpus      BIGINT NOT NULL DEFAULT 0 CHECK (vcpus >= 0),
  memory_mib BIGINT NOT NULL DEFAULT 0 CHECK (memory_mib >= 0)
);

INSERT INTO host_use (host_id, instances, vcpus, memory_mib)
SELECT
  h.id,
  COUNT(i.id),
  COALESCE(SUM(MAX(i.vcpus, i.running_vcpus)), 0),
  COALESCE(SUM(MAX(i.memory_mib, i.running_memory_mib)), 0)
FROM host h
LEFT JOIN instance i ON i.host_id = h.id AND i.gone_at IS NULL
GROUP BY h.id;

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
