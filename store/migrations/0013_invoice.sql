-- An invoice is a month of a tenant that was frozen. Its number has no gaps over
-- the whole installation, and nothing of it ever changes.
CREATE TABLE invoice (
  seq         INTEGER NOT NULL PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  number      TEXT    NOT NULL UNIQUE CHECK (number <> ''),
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  tenant      TEXT    NOT NULL,
  month       BIGINT  NOT NULL,
  issuer      TEXT    NOT NULL,
  currency    TEXT    NOT NULL CHECK (length(currency) = 3),
  minor       INTEGER NOT NULL CHECK (minor BETWEEN 0 AND 4),
  subtotal    TEXT    NOT NULL,
  tax_percent TEXT    NOT NULL,
  tax         TEXT    NOT NULL,
  rounding    TEXT    NOT NULL,
  total       TEXT    NOT NULL,
  unpriced    INTEGER NOT NULL CHECK (unpriced IN (0, 1)),
  lines       BIGINT  NOT NULL CHECK (lines >= 0),
  hours_seq   BIGINT  NOT NULL,
  head_n      BIGINT  NOT NULL,
  head_hash   BLOB    NOT NULL CHECK (length(head_hash) = 32),
  created_at  BIGINT  NOT NULL,
  UNIQUE (tenant_id, month)
);

CREATE TABLE invoice_line (
  invoice     BIGINT  NOT NULL REFERENCES invoice (seq),
  n           BIGINT  NOT NULL,
  tenant_id   TEXT    NOT NULL REFERENCES tenant (id),
  month       BIGINT  NOT NULL,
  correction  INTEGER NOT NULL CHECK (correction IN (0, 1)),
  kind        TEXT    NOT NULL CHECK (kind IN ('usage', 'minimum', 'beyond_cap')),
  resource_id TEXT    NOT NULL CHECK (resource_id <> ''),
  resource    TEXT    NOT NULL,
  slot        TEXT    NOT NULL CHECK (slot <> ''),
  meter       TEXT    NOT NULL CHECK (meter <> ''),
  price_id    TEXT    NOT NULL REFERENCES price (id),
  discount_id TEXT    REFERENCES discount (id),
  quantity    TEXT    NOT NULL,
  unit_price  TEXT    NOT NULL,
  percent     TEXT    NOT NULL,
  cost        TEXT    NOT NULL,
  PRIMARY KEY (invoice, n)
) WITHOUT ROWID;

CREATE INDEX invoice_line_by_month ON invoice_line (tenant_id, month);

CREATE TRIGGER invoice_without_gaps
BEFORE INSERT ON invoice
WHEN NEW.seq <> 1 + COALESCE((SELECT MAX(seq) FROM invoice), 0)
BEGIN
  SELECT RAISE(ABORT, 'invoice: the numbers have no gaps');
END;

CREATE TRIGGER invoice_of_a_month
BEFORE INSERT ON invoice
WHEN strftime('%d %H:%M:%f', NEW.month / 1000.0, 'unixepoch') <> '01 00:00:00.000'
BEGIN
  SELECT RAISE(ABORT, 'invoice: not the first instant of a month');
END;

-- The last hour of the month is the one before its end.
CREATE TRIGGER invoice_of_closed_hours
BEFORE INSERT ON invoice
WHEN unixepoch(NEW.month / 1000, 'unixepoch', '+1 month') * 1000 - 3600000 > COALESCE((SELECT MAX(hour) FROM usage_close), NEW.month - 1)
BEGIN
  SELECT RAISE(ABORT, 'invoice: the month is not closed');
END;

CREATE TRIGGER invoice_behind_corrections
BEFORE INSERT ON invoice
WHEN EXISTS (
  SELECT 1
  FROM usage_recount r
  WHERE r.tenant_id = NEW.tenant_id
    AND r.hour >= NEW.month
    AND r.hour < unixepoch(NEW.month / 1000, 'unixepoch', '+1 month') * 1000
)
BEGIN
  SELECT RAISE(ABORT, 'invoice: hours of the month wait for their correction');
END;

CREATE TRIGGER invoice_at_the_head
BEFORE INSERT ON invoice
WHEN NEW.head_n <> COALESCE((SELECT MAX(n) FROM usage_seal), 0)
  OR (NEW.head_n > 0 AND NEW.head_hash IS NOT (SELECT hash FROM usage_seal WHERE n = NEW.head_n))
BEGIN
  SELECT RAISE(ABORT, 'invoice: not the head of the chain');
END;

CREATE TRIGGER invoice_in_the_currency
BEFORE INSERT ON invoice
WHEN NOT EXISTS (SELECT 1 FROM price_currency c WHERE c.currency = NEW.currency)
BEGIN
  SELECT RAISE(ABORT, 'invoice: not in the currency of the book');
END;

CREATE TRIGGER invoice_no_update
BEFORE UPDATE ON invoice
BEGIN
  SELECT RAISE(ABORT, 'invoice: rows stay');
END;

CREATE TRIGGER invoice_no_delete
BEFORE DELETE ON invoice
BEGIN
  SELECT RAISE(ABORT, 'invoice: rows stay');
END;

CREATE TRIGGER invoice_line_in_order
BEFORE INSERT ON invoice_line
WHEN NEW.n <> 1 + COALESCE((SELECT MAX(l.n) FROM invoice_line l WHERE l.invoice = NEW.invoice), 0)
  OR NEW.n > COALESCE((SELECT i.lines FROM invoice i WHERE i.seq = NEW.invoice), 0)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: not the next line of its invoice');
END;

CREATE TRIGGER invoice_line_of_the_month
BEFORE INSERT ON invoice_line
WHEN NOT EXISTS (
  SELECT 1
  FROM invoice i
  WHERE i.seq = NEW.invoice
    AND i.tenant_id = NEW.tenant_id
    AND (i.month = NEW.month) = (NEW.correction = 0)
)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: of another tenant, or of another month and no correction');
END;

CREATE TRIGGER invoice_line_before_the_seal
BEFORE INSERT ON invoice_line
WHEN EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = 'invoice' AND s.ref = NEW.invoice)
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: the invoice is sealed');
END;

CREATE TRIGGER invoice_line_no_update
BEFORE UPDATE ON invoice_line
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: rows stay');
END;

CREATE TRIGGER invoice_line_no_delete
BEFORE DELETE ON invoice_line
BEGIN
  SELECT RAISE(ABORT, 'invoice_line: rows stay');
END;
