-- Two label selectors say the same whatever the order of their terms. New prices
-- have them sorted; those that are older stay as they were sealed. A term that
-- stands in one of those twice is for the store to find.
CREATE VIEW price_term AS
WITH RECURSIVE cut (seq, term, rest) AS (
  SELECT seq, '', selector || ','
  FROM price
  WHERE selector <> ''
  UNION ALL
  SELECT
    seq,
    -- a comma within brackets ends no term
    CASE WHEN term LIKE '%(%' AND term NOT LIKE '%)' THEN term || ',' ELSE '' END || substr(rest, 1, instr(rest, ',') - 1),
    substr(rest, instr(rest, ',') + 1)
  FROM cut
  WHERE rest <> ''
)
SELECT seq, term
FROM cut
WHERE term <> ''
  AND (term NOT LIKE '%(%' OR term LIKE '%)');

DROP TRIGGER price_no_overlap;

CREATE TRIGGER price_no_overlap
AFTER INSERT ON price
WHEN EXISTS (
  SELECT 1
  FROM price_now p
  WHERE p.seq <> NEW.seq
    AND p.meter = NEW.meter
    AND p.flavor_id = NEW.flavor_id
    AND p.tenant_id IS NEW.tenant_id
    AND (p.until IS NULL OR (p.until > p.valid_from AND p.until > NEW.valid_from))
    AND (NEW.valid_to IS NULL OR p.valid_from < NEW.valid_to)
    AND (p.selector = NEW.selector OR (
      length(p.selector) = length(NEW.selector)
      AND NOT EXISTS (SELECT term FROM price_term WHERE seq = p.seq EXCEPT SELECT term FROM price_term WHERE seq = NEW.seq)
    ))
)
BEGIN
  SELECT RAISE(ABORT, 'price: overlaps a price of the same');
END;
