-- The logins at an identity provider that have ended, so that each is good once.
-- A row outlives what it is about: ends_at is when the login would be refused
-- for its age.
CREATE TABLE oidc_login (
  id      TEXT   NOT NULL PRIMARY KEY,
  ends_at BIGINT NOT NULL
);
