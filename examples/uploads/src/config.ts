/** Where the example listens, and which omgfs it uses; all from the environment. */

export interface Config {
  trackers: string[];
  domain: string;
  /** Where the application itself listens; with the whole site, where nginx does. */
  host: string;
  port: number;
  fileBytesMax: number;
  /** State of the local cluster of the whole site. */
  dir: string;
}

export function readConfig(env = process.env): Config {
  return {
    trackers: (env.OMGFS_TRACKERS ?? '127.0.0.1:7001').split(','),
    domain: env.OMGFS_DOMAIN ?? 'uploads',
    host: env.HOST ?? '127.0.0.1',
    port: Number(env.PORT ?? 8080),
    fileBytesMax: Number(env.FILE_BYTES_MAX ?? 2 * 1024 ** 3),
    dir: env.OMGFS_DIR ?? '.omgfs',
  };
}
