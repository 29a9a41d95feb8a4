-- The default was asked for, and moves to the image once that can be started
-- from: an import that fails must not take it from the one before.
ALTER TABLE image ADD COLUMN wants_default INTEGER NOT NULL DEFAULT 0 CHECK (wants_default IN (0, 1));
