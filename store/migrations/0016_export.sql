-- How far the receiver of usage has got: the row of usage_hour up to which it has
-- all, or of which it has taken so many events (not 0). One row for each address
-- that was ever configured, so that a receiver that comes back goes on where it was.
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
