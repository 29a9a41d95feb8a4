-- What an interval costs to open grows neither with its resource's history nor
-- with indexes that one can do the work of: what a tenant has open and what of it
-- ended after an instant are two ranges of this one.
DROP INDEX usage_interval_by_tenant;
DROP INDEX usage_interval_by_end;
DROP INDEX usage_interval_open_by_tenant;
CREATE INDEX usage_interval_by_tenant ON usage_interval (tenant_id, ended_at, started_at);

-- An interval overlaps what begins within it, and what began before and ends
-- later than its beginning. Of the latter only the last one has to be looked at:
-- those before it ended where it began, at the latest.
DROP TRIGGER usage_interval_no_overlap;
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
