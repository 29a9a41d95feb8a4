-- What is protected is not deleted, whichever way the deletion comes.
ALTER TABLE instance ADD COLUMN protected INTEGER NOT NULL DEFAULT 0
  CHECK (protected = 0 OR (protected = 1 AND deleted_at IS NULL));
ALTER TABLE image ADD COLUMN protected INTEGER NOT NULL DEFAULT 0
  CHECK (protected = 0 OR (protected = 1 AND deleted_at IS NULL));

-- The id of what a request is still making; its answer is not known yet.
ALTER TABLE idempotency ADD COLUMN pending TEXT NOT NULL DEFAULT '';

CREATE INDEX idempotency_pending ON idempotency (pending) WHERE pending <> '';
