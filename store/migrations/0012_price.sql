-- The price book. Rows come and stay: what changes a price is an end, which is a
-- row of its own, and another price. Times are whole hours.
CREATE TABLE price_currency (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  currency TEXT    NOT NULL CHECK (length(currency) = 3)
);

CREATE TABLE price (
  seq             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id              TEXT    NOT NULL UNIQUE,
  tenant_id       TEXT    REFERENCES tenant (id),
  meter           TEXT    NOT NULL CHECK (meter <> ''),
  flavor_id       TEXT    NOT NULL,
  selector        TEXT    NOT NULL,
  unit_price      TEXT    NOT NULL CHECK (unit_price <> '' AND unit_price NOT GLOB '*[^0-9.]*'),
  currency        TEXT    NOT NULL,
  valid_from      BIGINT  NOT NULL CHECK (valid_from % 3600000 = 0),
  valid_to        BIGINT  CHECK (valid_to % 3600000 = 0),
  minimum_seconds BIGINT  NOT NULL CHECK (minimum_seconds BETWEEN 0 AND 86400),
  cap_hours       BIGINT  NOT NULL CHECK (cap_hours BETWEEN 0 AND 744),
  states          TEXT    NOT NULL,
  created_at      BIGINT  NOT NULL,
  CHECK (valid_to > valid_from),
  CHECK (valid_from >= created_at - created_at % 3600000)
);

CREATE INDEX price_by_meter ON price (meter, flavor_id, selector, valid_from);
CREATE INDEX price_by_tenant ON price (tenant_id);

-- An end that was put to a price later than the price itself.
CREATE TABLE price_end (
  seq      INTEGER NOT NULL PRIMARY KEY REFERENCES price (seq),
  ended_at BIGINT  NOT NULL CHECK (ended_at % 3600000 = 0),
  said_at  BIGINT  NOT NULL CHECK (said_at <= ended_at)
);

CREATE TABLE discount (
  seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL UNIQUE,
  tenant_id  TEXT    NOT NULL REFERENCES tenant (id),
  meter      TEXT    NOT NULL,
  percent    TEXT    NOT NULL CHECK (percent <> '' AND percent NOT GLOB '*[^0-9.]*'),
  valid_from BIGINT  NOT NULL CHECK (valid_from % 3600000 = 0),
  valid_to   BIGINT  CHECK (valid_to % 3600000 = 0),
  created_at BIGINT  NOT NULL,
  CHECK (valid_to > valid_from),
  CHECK (valid_from >= created_at - created_at % 3600000)
);

CREATE INDEX discount_by_tenant ON discount (tenant_id, meter, valid_from);

CREATE TABLE discount_end (
  seq      INTEGER NOT NULL PRIMARY KEY REFERENCES discount (seq),
  ended_at BIGINT  NOT NULL CHECK (ended_at % 3600000 = 0),
  said_at  BIGINT  NOT NULL CHECK (said_at <= ended_at)
);

CREATE VIEW price_now AS
SELECT p.*, COALESCE(e.ended_at, p.valid_to) AS until
FROM price p
LEFT JOIN price_end e ON e.seq = p.seq;

CREATE VIEW discount_now AS
SELECT d.*, COALESCE(e.ended_at, d.valid_to) AS until
FROM discount d
LEFT JOIN discount_end e ON e.seq = d.seq;

CREATE TRIGGER price_currency_is_used
BEFORE UPDATE ON price_currency
WHEN EXISTS (SELECT 1 FROM price_now p WHERE p.until IS NULL OR p.until > p.valid_from)
BEGIN
  SELECT RAISE(ABORT, 'price_currency: there are prices in it');
END;

CREATE TRIGGER price_currency_no_delete
BEFORE DELETE ON price_currency
BEGIN
  SELECT RAISE(ABORT, 'price_currency: rows stay');
END;

CREATE TRIGGER price_in_the_currency
BEFORE INSERT ON price
WHEN NOT EXISTS (SELECT 1 FROM price_currency c WHERE c.currency = NEW.currency)
BEGIN
  SELECT RAISE(ABORT, 'price: not in the currency of the book');
END;

CREATE TRIGGER price_no_overlap
BEFORE INSERT ON price
WHEN EXISTS (
  SELECT 1
  FROM price_now p
  WHERE p.meter = NEW.meter
    AND p.flavor_id = NEW.flavor_id
    AND p.selector = NEW.selector
    AND p.tenant_id IS NEW.tenant_id
    AND (p.until IS NULL OR (p.until > p.valid_from AND p.until > NEW.valid_from))
    AND (NEW.valid_to IS NULL OR p.valid_from < NEW.valid_to)
)
BEGIN
  SELECT RAISE(ABORT, 'price: overlaps a price of the same');
END;

CREATE TRIGGER price_no_update
BEFORE UPDATE ON price
BEGIN
  SELECT RAISE(ABORT, 'price: rows stay');
END;

CREATE TRIGGER price_no_delete
BEFORE DELETE ON price
BEGIN
  SELECT RAISE(ABORT, 'price: rows stay');
END;

CREATE TRIGGER price_end_within
BEFORE INSERT ON price_end
WHEN NOT EXISTS (
  SELECT 1
  FROM price p
  WHERE p.seq = NEW.seq
    AND NEW.ended_at >= p.valid_from
    AND (p.valid_to IS NULL OR NEW.ended_at < p.valid_to)
    AND NEW.said_at >= p.created_at
)
BEGIN
  SELECT RAISE(ABORT, 'price_end: not within the price');
END;

CREATE TRIGGER price_end_no_update
BEFORE UPDATE ON price_end
BEGIN
  SELECT RAISE(ABORT, 'price_end: rows stay');
END;

CREATE TRIGGER price_end_no_delete
BEFORE DELETE ON price_end
BEGIN
  SELECT RAISE(ABORT, 'price_end: rows stay');
END;

CREATE TRIGGER discount_no_overlap
BEFORE INSERT ON discount
WHEN EXISTS (
  SELECT 1
  FROM discount_now d
  WHERE d.tenant_id = NEW.tenant_id
    AND d.meter = NEW.meter
    AND (d.until IS NULL OR (d.until > d.valid_from AND d.until > NEW.valid_from))
    AND (NEW.valid_to IS NULL OR d.valid_from < NEW.valid_to)
)
BEGIN
  SELECT RAISE(ABORT, 'discount: overlaps a discount of the same');
END;

CREATE TRIGGER discount_no_update
BEFORE UPDATE ON discount
BEGIN
  SELECT RAISE(ABORT, 'discount: rows stay');
END;

CREATE TRIGGER discount_no_delete
BEFORE DELETE ON discount
BEGIN
  SELECT RAISE(ABORT, 'discount: rows stay');
END;

CREATE TRIGGER discount_end_within
BEFORE INSERT ON discount_end
WHEN NOT EXISTS (
  SELECT 1
  FROM discount d
  WHERE d.seq = NEW.seq
    AND NEW.ended_at >= d.valid_from
    AND (d.valid_to IS NULL OR NEW.ended_at < d.valid_to)
    AND NEW.said_at >= d.created_at
)
BEGIN
  SELECT RAISE(ABORT, 'discount_end: not within the discount');
END;

CREATE TRIGGER discount_end_no_update
BEFORE UPDATE ON discount_end
BEGIN
  SELECT RAISE(ABORT, 'discount_end: rows stay');
END;

CREATE TRIGGER discount_end_no_delete
BEFORE DELETE ON discount_end
BEGIN
  SELECT RAISE(ABORT, 'discount_end: rows stay');
END;
