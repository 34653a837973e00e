-- MogileFS schema 17 as a fresh install has it, with two choices of ours (see ../README.md):
-- names and keys that clients choose are bytes (VARBINARY), and every fid is a BIGINT.
-- Each statement can be run again without harm: two trackers may start at the same time.

CREATE TABLE IF NOT EXISTS domain (
  dmid SMALLINT UNSIGNED NOT NULL,
  namespace VARBINARY(255),
  PRIMARY KEY (dmid),
  UNIQUE KEY namespace (namespace)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS class (
  dmid SMALLINT UNSIGNED NOT NULL,
  classid TINYINT UNSIGNED NOT NULL,
  classname VARBINARY(50),
  mindevcount TINYINT UNSIGNED NOT NULL,
  hashtype TINYINT UNSIGNED,
  replpolicy VARCHAR(255),
  PRIMARY KEY (dmid, classid),
  UNIQUE KEY dmid (dmid, classname)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file (
  fid BIGINT UNSIGNED NOT NULL,
  dmid SMALLINT UNSIGNED NOT NULL,
  dkey VARBINARY(255),
  length BIGINT UNSIGNED,
  classid TINYINT UNSIGNED NOT NULL,
  devcount TINYINT UNSIGNED NOT NULL,
  PRIMARY KEY (fid),
  UNIQUE KEY dkey (dmid, dkey),
  KEY devcount (dmid, classid, devcount)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS tempfile (
  fid BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  createtime INT UNSIGNED NOT NULL,
  classid TINYINT UNSIGNED NOT NULL,
  dmid SMALLINT UNSIGNED NOT NULL,
  dkey VARBINARY(255),
  devids VARCHAR(60),
  PRIMARY KEY (fid)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_on (
  fid BIGINT UNSIGNED NOT NULL,
  devid MEDIUMINT UNSIGNED NOT NULL,
  PRIMARY KEY (fid, devid),
  KEY devid (devid)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_to_replicate (
  fid BIGINT UNSIGNED NOT NULL,
  nexttry INT UNSIGNED NOT NULL,
  fromdevid INT UNSIGNED,
  failcount TINYINT UNSIGNED NOT NULL DEFAULT 0,
  flags SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (fid),
  KEY nexttry (nexttry)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_to_delete2 (
  fid BIGINT UNSIGNED NOT NULL,
  nexttry INT UNSIGNED NOT NULL,
  failcount TINYINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (fid),
  KEY nexttry (nexttry)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_to_delete (
  fid BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (fid)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_to_delete_later (
  fid BIGINT UNSIGNED NOT NULL,
  delafter INT UNSIGNED NOT NULL,
  PRIMARY KEY (fid),
  KEY delafter (delafter)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_to_queue (
  fid BIGINT UNSIGNED NOT NULL,
  devid INT UNSIGNED,
  type TINYINT UNSIGNED NOT NULL,
  nexttry INT UNSIGNED NOT NULL,
  failcount TINYINT UNSIGNED NOT NULL DEFAULT 0,
  flags SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  arg TEXT,
  PRIMARY KEY (fid, type),
  KEY type_nexttry (type, nexttry)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS fsck_log (
  logid INT UNSIGNED NOT NULL AUTO_INCREMENT,
  utime INT UNSIGNED NOT NULL,
  fid BIGINT UNSIGNED,
  evcode CHAR(4),
  devid MEDIUMINT UNSIGNED,
  PRIMARY KEY (logid),
  KEY utime (utime)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS checksum (
  fid BIGINT UNSIGNED NOT NULL,
  hashtype TINYINT UNSIGNED NOT NULL,
  checksum VARBINARY(64) NOT NULL,
  PRIMARY KEY (fid)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS host (
  hostid MEDIUMINT UNSIGNED NOT NULL,
  status ENUM('alive', 'dead', 'down', 'readonly'),
  http_port MEDIUMINT UNSIGNED DEFAULT 7500,
  http_get_port MEDIUMINT UNSIGNED,
  hostname VARCHAR(40),
  hostip VARCHAR(15),
  altip VARCHAR(15),
  altmask VARCHAR(18),
  PRIMARY KEY (hostid),
  UNIQUE KEY hostname (hostname),
  UNIQUE KEY hostip (hostip),
  UNIQUE KEY altip (altip)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS device (
  devid MEDIUMINT UNSIGNED NOT NULL,
  hostid MEDIUMINT UNSIGNED NOT NULL,
  status ENUM('alive', 'dead', 'down', 'readonly', 'drain'),
  weight MEDIUMINT DEFAULT 100,
  mb_total INT UNSIGNED,
  mb_used INT UNSIGNED,
  mb_asof INT UNSIGNED,
  PRIMARY KEY (devid),
  KEY status (status)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS server_settings (
  field VARCHAR(50) NOT NULL,
  value TEXT,
  PRIMARY KEY (field)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS unreachable_fids (
  fid BIGINT UNSIGNED NOT NULL,
  lastupdate INT UNSIGNED NOT NULL,
  PRIMARY KEY (fid),
  KEY lastupdate (lastupdate)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;

CREATE TABLE IF NOT EXISTS file_on_corrupt (
  fid BIGINT UNSIGNED NOT NULL,
  devid MEDIUMINT UNSIGNED NOT NULL,
  PRIMARY KEY (fid, devid)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_bin;
