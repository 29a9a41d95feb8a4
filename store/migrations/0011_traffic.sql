-- What the guests sent and received. A row is written once, with the counter's
-- values before and after, so that no byte is counted twice or missed over a
-- restart: the next row begins where the newest one of its run and device ends.
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

-- A counter that goes on begins where it was left, or at 0 when it was reset.
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

-- Images that are there already count from the last look at the host on: what
-- was before is nobody's debt.
INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
SELECT i.tenant_id, i.id, i.name, 'image', 'image', (i.size_bytes + 1048575) / 1048576, 'active',
  MAX(i.updated_at, COALESCE((SELECT MAX(h.heartbeat_at) FROM host h), 0))
FROM image i
WHERE i.state = 'active'
  AND i.deleted_at IS NULL
  AND i.gone_at IS NULL
ORDER BY i.created_at, i.id;
