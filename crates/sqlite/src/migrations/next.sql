-- Made up, for the crash proof: the schema after the newest, until there is one. Only with `--cfg queuectl_next`.

ALTER TABLE worker ADD COLUMN mood TEXT;

CREATE TABLE diary (
  id   INTEGER PRIMARY KEY,
  word TEXT NOT NULL
) STRICT;

INSERT INTO diary (word) SELECT id FROM job;
