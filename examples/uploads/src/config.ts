/** Where the example listens, and which omgfs it uses; all from the environment. */

export interface Config {
  trackers: string[];
  domain: string;
  host: string;
  port: number;
}

export function readConfig(env = process.env): Config {
  return {
    trackers: (env.OMGFS_TRACKERS ?? '127.0.0.1:7001').split(','),
    domain: env.OMGFS_DOMAIN ?? 'files',
    host: env.HOST ?? '127.0.0.1',
    port: Number(env.PORT ?? 8080),
  };
}
