-- The secret before this one signs too until its time is over.
ALTER TABLE webhook ADD COLUMN old_secret BLOB CHECK (length(old_secret) BETWEEN 24 AND 64);
ALTER TABLE webhook ADD COLUMN old_until BIGINT CHECK ((old_until IS NULL) = (old_secret IS NULL));

-- A budget or schedule that was deleted is there, and does nothing, until what it
-- has stopped is started again.
ALTER TABLE budget ADD COLUMN deleted_at BIGINT;
ALTER TABLE schedule ADD COLUMN deleted_at BIGINT;

CREATE INDEX webhook_delivery_given_up ON webhook_delivery (given_up_at) WHERE given_up_at IS NOT NULL;
