export type { Daemon } from './local-cluster/daemon.ts';
export type {
  LocalCluster,
  LocalClusterOptions,
  LocalHost,
} from './local-cluster/local-cluster.ts';
export { startLocalCluster } from './local-cluster/local-cluster.ts';
export { type FrontNginx, type FrontNginxOptions, startFrontNginx } from './nginx/front-nginx.ts';
