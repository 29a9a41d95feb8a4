-- Labels by key and value, so that a selector finds its objects without a look
-- at all others. The JSON of each object is what counts; the triggers below copy
-- it here for as long as the object is listed. A user's tenant_id is empty.
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

-- Lists of instances by what is not their age, of all tenants and of one.
CREATE INDEX instance_by_name ON instance (name, id) WHERE gone_at IS NULL;

CREATE INDEX instance_of_tenant_by_name ON instance (tenant_id, name, id) WHERE gone_at IS NULL;

CREATE INDEX instance_by_state ON instance (state, created_at, id) WHERE gone_at IS NULL;

CREATE INDEX instance_of_tenant_by_state ON instance (tenant_id, state, created_at, id) WHERE gone_at IS NULL;

-- What a quota adds up: without these, each check reads every tenant's.
CREATE INDEX port_by_tenant ON port (tenant_id) WHERE deleted_at IS NULL;

CREATE INDEX image_by_tenant ON image (tenant_id) WHERE gone_at IS NULL;

CREATE INDEX snapshot_by_tenant ON snapshot (tenant_id) WHERE gone_at IS NULL;

CREATE INDEX floating_ip_by_tenant ON floating_ip (tenant_id) WHERE released_at IS NULL;

INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
SELECT 'instance', o.id, j.key, j.value, o.tenant_id, o.created_at
FROM instance o, json_each(o.labels) j
WHERE o.gone_at IS NULL;

INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
SELECT 'image', o.id, j.key, j.value, o.tenant_id, o.created_at
FROM image o, json_each(o.labels) j
WHERE o.gone_at IS NULL;

INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
SELECT 'network', o.id, j.key, j.value, o.tenant_id, o.created_at
FROM network o, json_each(o.labels) j
WHERE o.gone_at IS NULL;

INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
SELECT 'tenant', o.id, j.key, j.value, o.id, o.created_at
FROM tenant o, json_each(o.labels) j
WHERE o.deleted_at IS NULL;

INSERT INTO label (kind, object_id, key, value, tenant_id, created_at)
SELECT 'user', o.id, j.key, j.value, '', o.created_at
FROM "user" o, json_each(o.labels) j
WHERE o.deleted_at IS NULL;

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
