/** What MySQL databases of older MogileFS installs look like (spec §3.3), as statements. */

export interface OldSchema {
  version: number;
  fid: 'INT' | 'BIGINT';
  /** Charset and collation of the tables, which MogileFS leaves to the server. */
  charset?: string;
  engine?: string;
}

/** The tables and some rows of each; the version row as well. */
export function oldSchema({ version, fid, charset = 'latin1', engine }: OldSchema): string[] {
  const f = `${fid} UNSIGNED NOT NULL`;
  const from = (number: number, text: string) => (version >= number ? text : '');
  const mb = version >= 14 ? 'INT' : 'MEDIUMINT';
  const hostStates = `'alive','dead','down'${from(17, ",'readonly'")}`;
  const deviceStates = `'alive','dead','down','readonly'${from(9, ",'drain'")}`;
  const tables: [number, string, string][] = [
    [
      0,
      'domain',
      'dmid SMALLINT UNSIGNED NOT NULL PRIMARY KEY, namespace VARCHAR(255), UNIQUE (namespace)',
    ],
    [
      0,
      'class',
      `dmid SMALLINT UNSIGNED NOT NULL, classid TINYINT UNSIGNED NOT NULL,
      classname VARCHAR(50), mindevcount TINYINT UNSIGNED NOT NULL
      ${from(15, ', hashtype TINYINT UNSIGNED')}
      ${from(10, ', replpolicy VARCHAR(255)')}, PRIMARY KEY (dmid, classid), UNIQUE (dmid,
      classname)`,
    ],
    [
      0,
      'file',
      `fid ${f}, dmid SMALLINT UNSIGNED NOT NULL, dkey VARCHAR(255), length BIGINT UNSIGNED,
      classid TINYINT UNSIGNED NOT NULL, devcount TINYINT UNSIGNED NOT NULL, PRIMARY KEY (fid),
      UNIQUE dkey (dmid, dkey), INDEX devcount (dmid, classid, devcount)`,
    ],
    [
      0,
      'tempfile',
      `fid ${f} AUTO_INCREMENT PRIMARY KEY, createtime INT UNSIGNED NOT NULL,
      classid TINYINT UNSIGNED NOT NULL, dmid SMALLINT UNSIGNED NOT NULL, dkey VARCHAR(255),
      devids VARCHAR(60)`,
    ],
    [
      0,
      'file_on',
      `fid ${f}, devid MEDIUMINT UNSIGNED NOT NULL, PRIMARY KEY (fid, devid), INDEX (devid)`,
    ],
    [
      6,
      'file_to_replicate',
      `fid ${f} PRIMARY KEY, nexttry INT UNSIGNED NOT NULL, INDEX (nexttry),
      fromdevid INT UNSIGNED, failcount TINYINT UNSIGNED NOT NULL DEFAULT 0,
      flags SMALLINT UNSIGNED NOT NULL DEFAULT 0`,
    ],
    [0, 'file_to_delete', `fid ${f}, PRIMARY KEY (fid)`],
    [
      7,
      'file_to_delete_later',
      `fid ${f} PRIMARY KEY, delafter INT UNSIGNED NOT NULL, INDEX (delafter)`,
    ],
    [
      12,
      'file_to_delete2',
      `fid ${f} PRIMARY KEY, nexttry INT UNSIGNED NOT NULL,
      failcount TINYINT UNSIGNED NOT NULL DEFAULT 0, INDEX nexttry (nexttry)`,
    ],
    [
      11,
      'file_to_queue',
      `fid ${f}, devid INT UNSIGNED, type TINYINT UNSIGNED NOT NULL, nexttry INT UNSIGNED NOT NULL,
      failcount TINYINT UNSIGNED NOT NULL DEFAULT 0, flags SMALLINT UNSIGNED NOT NULL DEFAULT 0
      ${from(13, ', arg TEXT')}, PRIMARY KEY (fid, type), INDEX type_nexttry (type, nexttry)`,
    ],
    [
      8,
      'fsck_log',
      `logid INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, utime INT UNSIGNED NOT NULL,
      fid ${fid} UNSIGNED, evcode CHAR(4), devid MEDIUMINT UNSIGNED, INDEX (utime)`,
    ],
    [
      15,
      'checksum',
      `fid ${f} PRIMARY KEY, hashtype TINYINT UNSIGNED NOT NULL, checksum VARBINARY(64) NOT NULL`,
    ],
    [
      0,
      'host',
      `hostid MEDIUMINT UNSIGNED NOT NULL PRIMARY KEY, status ENUM(${hostStates}),
      http_port MEDIUMINT UNSIGNED DEFAULT 7500
      ${from(9, ', http_get_port MEDIUMINT UNSIGNED')}, hostname VARCHAR(40),
      hostip VARCHAR(15)${from(9, ', altip VARCHAR(15), altmask VARCHAR(18), UNIQUE (altip)')},
      UNIQUE (hostname), UNIQUE (hostip)`,
    ],
    [
      0,
      'device',
      `devid MEDIUMINT UNSIGNED NOT NULL, hostid MEDIUMINT UNSIGNED NOT NULL,
      status ENUM(${deviceStates})
      ${from(9, ', weight MEDIUMINT DEFAULT 100')}, mb_total ${mb} UNSIGNED, mb_used ${mb} UNSIGNED
      ${from(9, ', mb_asof INT UNSIGNED')}, PRIMARY KEY (devid), INDEX (status)`,
    ],
    [
      0,
      'server_settings',
      `field VARCHAR(50) PRIMARY KEY, value ${version >= 13 ? 'TEXT' : 'VARCHAR(255)'}`,
    ],
    [
      0,
      'unreachable_fids',
      `fid ${f}, lastupdate INT UNSIGNED NOT NULL, PRIMARY KEY (fid), INDEX (lastupdate)`,
    ],
    [0, 'file_on_corrupt', `fid ${f}, devid MEDIUMINT UNSIGNED NOT NULL, PRIMARY KEY (fid, devid)`],
  ];
  const options = `ENGINE=${engine ?? 'InnoDB'} DEFAULT CHARSET=${charset}`;
  return [
    ...tables
      .filter(([since]) => version >= since)
      .map(([, name, columns]) => `CREATE TABLE ${name} (${columns}) ${options}`),
    "INSERT INTO domain VALUES (1, 'd')",
    "INSERT INTO class (dmid, classid, classname, mindevcount) VALUES (1, 1, 'c', 3)",
    "INSERT INTO file VALUES (5, 1, 'k', 10, 1, 2)",
    'INSERT INTO file_on VALUES (5, 1), (5, 2)',
    'INSERT INTO file_to_delete VALUES (4)',
    "INSERT INTO host (hostid, status, hostname, hostip) VALUES (1, 'alive', 'h', '127.0.0.1')",
    "INSERT INTO device (devid, hostid, status, mb_total) VALUES (1, 1, 'alive', 1000)",
    `INSERT INTO server_settings VALUES ('schema_version', '${version}'), 
      ('enable_rebalance', '1')`,
  ];
}

/**
 * The same on SQLite, as what the original's types come to there, with the locks it keeps there
 * (spec §3.2). Whether its counters are AUTOINCREMENT is not known.
 */
export function oldSqliteSchema({ counter = 'AUTOINCREMENT', version = 17 } = {}): string[] {
  const tables = oldSchema({ version, fid: 'INT' }).map((sql) =>
    sql
      .replace(/\) ENGINE=.*$/s, ')')
      .replace(/,\s*(?:UNIQUE )?(?:INDEX|KEY) \w*\s*\([^)]*\)/g, '')
      .replace(/UNIQUE dkey/, 'UNIQUE')
      .replace(/ENUM\([^)]*\)/g, 'VARCHAR(8)')
      .replace(
        /INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY/,
        `INTEGER PRIMARY KEY ${counter}`,
      ),
  );
  const locks = 'pid INT UNSIGNED NOT NULL, acquiredat INT UNSIGNED NOT NULL';
  const lock = `lockid INT UNSIGNED NOT NULL PRIMARY KEY, hostname VARCHAR(255) NOT NULL, ${locks}`;
  return [...tables, `CREATE TABLE lock (${lock})`];
}
