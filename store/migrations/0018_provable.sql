-- Bytes are in the closed hours from this hour on. Those that were closed before
-- have none: their digests stay as they are, also when they are corrected.
CREATE TABLE usage_bytes (
  from_hour BIGINT NOT NULL CHECK (from_hour % 3600000 = 0)
);

INSERT INTO usage_bytes (from_hour)
SELECT COALESCE(MAX(hour) + 3600000, 0)
FROM usage_close;

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

-- A row lies in one hour, so that the bytes of hours, months and invoices are sums
-- of whole rows. Older rows are of the hour in which they end.
CREATE TRIGGER usage_traffic_of_an_hour
BEFORE INSERT ON usage_traffic
WHEN NEW.started_at / 3600000 <> (NEW.ended_at - 1) / 3600000
BEGIN
  SELECT RAISE(ABORT, 'usage_traffic: of more than one hour');
END;

CREATE INDEX usage_traffic_by_end ON usage_traffic (ended_at, tenant_id);

-- The number that the next interval had when the invoice was made: with the head of
-- the chain it says what was known then. NULL for invoices from before.
ALTER TABLE invoice ADD COLUMN next_interval BIGINT;
