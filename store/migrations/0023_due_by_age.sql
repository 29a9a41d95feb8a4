-- Instances that have something left to do are worked off by age: the oldest is
-- started first when a host comes back.
DROP INDEX instance_due;

CREATE INDEX instance_due ON instance (host_id, created_at, id)
  WHERE gone_at IS NULL
    AND (observed_generation <> generation OR observed_boots <> boots OR task <> '' OR problem_code IS NOT NULL OR deleted_at IS NOT NULL);
