-- How far the receiver of usage has got: the closed hour of a tenant whose events
-- are sent, and how many of them it has taken. One row for each address that was
-- ever configured, so that a receiver that comes back goes on where it was.
CREATE TABLE usage_sink (
  url       TEXT    NOT NULL PRIMARY KEY CHECK (url <> ''),
  hour_seq  BIGINT  NOT NULL DEFAULT 0,
  taken     BIGINT  NOT NULL DEFAULT 0 CHECK (taken >= 0),
  sent      BIGINT  NOT NULL DEFAULT 0,
  sent_at   BIGINT
) WITHOUT ROWID;

CREATE TRIGGER usage_sink_goes_forward
BEFORE UPDATE ON usage_sink
WHEN NEW.hour_seq < OLD.hour_seq OR (NEW.hour_seq = OLD.hour_seq AND NEW.taken < OLD.taken) OR NEW.url <> OLD.url
BEGIN
  SELECT RAISE(ABORT, 'usage_sink: it only goes forward');
END;
