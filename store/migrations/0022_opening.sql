-- The opening of an interval is a link of the chain from this number on. Of those
-- that were opened before, the ones that were still open got theirs when lodge
-- opened the file.
CREATE TABLE usage_opening (
  from_seq BIGINT NOT NULL
);

INSERT INTO usage_opening (from_seq)
SELECT 1 + COALESCE(MAX(seq), 0)
FROM sqlite_sequence
WHERE name = 'usage_interval';

CREATE TRIGGER usage_opening_no_insert
BEFORE INSERT ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

CREATE TRIGGER usage_opening_no_update
BEFORE UPDATE ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

CREATE TRIGGER usage_opening_no_delete
BEFORE DELETE ON usage_opening
BEGIN
  SELECT RAISE(ABORT, 'usage_opening: rows stay');
END;

-- What the link of its opening covers, of a row that is dropped. Empty for those
-- that were dropped before.
ALTER TABLE usage_drop ADD COLUMN resource TEXT NOT NULL DEFAULT '';

ALTER TABLE usage_drop ADD COLUMN state TEXT NOT NULL DEFAULT '';
