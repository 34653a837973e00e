-- MogileFS schema 17 for SQLite. What clients choose (names, keys, setting values) is TEXT, as with
-- MogileFS: SQLite compares it byte by byte and keeps every byte (see ../README.md).
-- Each statement can be run again without harm: two trackers may start at the same time.

CREATE TABLE IF NOT EXISTS domain (
  dmid INTEGER NOT NULL PRIMARY KEY,
  namespace VARCHAR(255) UNIQUE
);

CREATE TABLE IF NOT EXISTS class (
  dmid INTEGER NOT NULL,
  classid INTEGER NOT NULL CHECK (classid BETWEEN 0 AND 255),
  classname VARCHAR(50),
  mindevcount INTEGER NOT NULL CHECK (mindevcount BETWEEN 0 AND 255),
  hashtype INTEGER,
  replpolicy VARCHAR(255),
  PRIMARY KEY (dmid, classid),
  UNIQUE (dmid, classname)
);

CREATE TABLE IF NOT EXISTS file (
  fid INTEGER NOT NULL PRIMARY KEY,
  dmid INTEGER NOT NULL,
  dkey VARCHAR(255) CHECK (length(CAST(dkey AS BLOB)) <= 255),
  length INTEGER,
  classid INTEGER NOT NULL,
  devcount INTEGER NOT NULL,
  UNIQUE (dmid, dkey)
);
CREATE INDEX IF NOT EXISTS file_devcount ON file (dmid, classid, devcount);

CREATE TABLE IF NOT EXISTS tempfile (
  fid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  createtime INTEGER NOT NULL,
  classid INTEGER NOT NULL,
  dmid INTEGER NOT NULL,
  dkey VARCHAR(255) CHECK (length(CAST(dkey AS BLOB)) <= 255),
  devids VARCHAR(60) CHECK (length(devids) <= 60)
);

CREATE TABLE IF NOT EXISTS file_on (
  fid INTEGER NOT NULL,
  devid INTEGER NOT NULL,
  PRIMARY KEY (fid, devid)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_on_devid ON file_on (devid);

CREATE TABLE IF NOT EXISTS file_to_replicate (
  fid INTEGER NOT NULL PRIMARY KEY,
  nexttry INTEGER NOT NULL,
  fromdevid INTEGER,
  failcount INTEGER NOT NULL DEFAULT 0,
  flags INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS file_to_replicate_nexttry ON file_to_replicate (nexttry);

CREATE TABLE IF NOT EXISTS file_to_delete2 (
  fid INTEGER NOT NULL PRIMARY KEY,
  nexttry INTEGER NOT NULL,
  failcount INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS file_to_delete2_nexttry ON file_to_delete2 (nexttry);

CREATE TABLE IF NOT EXISTS file_to_delete (
  fid INTEGER NOT NULL PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS file_to_delete_later (
  fid INTEGER NOT NULL PRIMARY KEY,
  delafter INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS file_to_delete_later_delafter ON file_to_delete_later (delafter);

CREATE TABLE IF NOT EXISTS file_to_queue (
  fid INTEGER NOT NULL,
  devid INTEGER,
  type INTEGER NOT NULL,
  nexttry INTEGER NOT NULL,
  failcount INTEGER NOT NULL DEFAULT 0,
  flags INTEGER NOT NULL DEFAULT 0,
  arg TEXT,
  PRIMARY KEY (fid, type)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_to_queue_type_nexttry ON file_to_queue (type, nexttry);

CREATE TABLE IF NOT EXISTS fsck_log (
  logid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  utime INTEGER NOT NULL,
  fid INTEGER,
  evcode CHAR(4),
  devid INTEGER
);
CREATE INDEX IF NOT EXISTS fsck_log_utime ON fsck_log (utime);

CREATE TABLE IF NOT EXISTS checksum (
  fid INTEGER NOT NULL PRIMARY KEY,
  hashtype INTEGER NOT NULL,
  checksum BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS host (
  hostid INTEGER NOT NULL PRIMARY KEY,
  status VARCHAR(8),
  http_port INTEGER DEFAULT 7500,
  http_get_port INTEGER,
  hostname VARCHAR(40) UNIQUE CHECK (length(hostname) <= 40),
  hostip VARCHAR(15) UNIQUE CHECK (length(hostip) <= 15),
  altip VARCHAR(15) UNIQUE CHECK (length(altip) <= 15),
  altmask VARCHAR(18) CHECK (length(altmask) <= 18)
);

CREATE TABLE IF NOT EXISTS device (
  devid INTEGER NOT NULL PRIMARY KEY,
  hostid INTEGER NOT NULL,
  status VARCHAR(8),
  weight INTEGER DEFAULT 100,
  mb_total INTEGER,
  mb_used INTEGER,
  mb_asof INTEGER
);
CREATE INDEX IF NOT EXISTS device_status ON device (status);

CREATE TABLE IF NOT EXISTS server_settings (
  field VARCHAR(50) NOT NULL PRIMARY KEY CHECK (length(field) <= 50),
  value TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS unreachable_fids (
  fid INTEGER NOT NULL PRIMARY KEY,
  lastupdate INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS unreachable_fids_lastupdate ON unreachable_fids (lastupdate);

CREATE TABLE IF NOT EXISTS file_on_corrupt (
  fid INTEGER NOT NULL,
  devid INTEGER NOT NULL,
  PRIMARY KEY (fid, devid)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS lock (
  lockid INTEGER NOT NULL PRIMARY KEY,
  hostname VARCHAR(255) NOT NULL,
  pid INTEGER NOT NULL,
  acquiredat INTEGER NOT NULL
);
