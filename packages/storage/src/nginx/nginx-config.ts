/**
 * The configuration of an nginx that serves the bytes of this node (spec §8.1 `server = nginx`).
 * nginx answers plain reads of files that are there. Everything else goes on to our own process:
 * writes, because they must be synced, checked and accounted; files that are not there, because a
 * missing disk is no missing file (I6); and conditions, because the ETag is not one of nginx.
 * What a read costs more than with a bare nginx was counted in instructions (bench/report.md).
 */

export interface NginxPlan {
  /** Absolute directory of its own for pid file, temporary files and configuration. */
  runDir: string;
  docroot: string;
  listen: readonly { host: string; port: number }[];
  /** Socket on which our own process serves. */
  nodeSocket: string;
  /** Socket on which nginx tells our own process what it did. */
  statusSocket: string;
  /** Networks whose clients are served; empty for all. */
  allow: readonly string[];
  /** Everything is passed on to our own process. */
  nodeOnly: boolean;
  connectionsMax: number;
  /** System user for the workers when started by root; undefined otherwise. */
  user: string | undefined;
  /** A number, or `auto` for one for each core. */
  workers: string;
  /**
   * Symbolic links inside a device: refused by the kernel, where it can, else as with `check`, by
   * nginx, which opens each directory of a path for that.
   */
  links: 'refuse' | 'check' | 'follow';
}

/** The text of the configuration file. @throws Error when a path cannot stand in one. */
export function nginxConfig(plan: NginxPlan): string {
  const { runDir, docroot, nodeSocket, statusSocket, user } = plan;
  for (const path of [runDir, docroot, nodeSocket, statusSocket]) checkPath(path);
  return `# Written by mogstored; changes are lost.
${user === undefined ? '' : `user ${user};\n`}daemon off;
worker_processes ${plan.workers};
pcre_jit on;
pid ${runDir}/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile ${2 * plan.connectionsMax + 64};
events {
  worker_connections ${2 * plan.connectionsMax};
}
http {
  access_log off;
  server_tokens off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 60s;
  keepalive_requests 1000000;
  # What a request takes is allocated at once.
  connection_pool_size 2k;
  request_pool_size 8k;
  client_header_timeout 20s;
  send_timeout 60s;
  etag off;
  # As many as the node takes.
  max_ranges 32;
${tempPaths(runDir)}
  upstream node {
    server unix:${nodeSocket};
    keepalive 64;
  }
  server {
    listen unix:${statusSocket};
    stub_status;
  }
  server {
${plan.listen.map(listenLine).join('\n')}
${plan.allow.length === 0 ? '' : allowLines(plan.allow)}    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_read_timeout 3600s;
    proxy_send_timeout 3600s;
    location / {
      proxy_pass http://node;
    }
${plan.nodeOnly ? '' : staticFiles(plan)}    location @node {
      proxy_pass http://node;
    }
  }
}
`;
}

/**
 * Headers of requests that our own process answers. `If-Range` and `If-Unmodified-Since` nginx
 * understands as the node does. Each is looked for by itself: one map over all cost twice as much.
 */
const forNode = [
  'if_match',
  'if_none_match',
  'if_modified_since',
  'want_content_digest',
  'want_repr_digest',
];

const device = '/dev[1-9][0-9]{0,8}';
/** Exactly the names that trackers give: the directories are the first digits of the file. */
const replica =
  '/([0-9])/([0-9]{3})/([0-9]{3})/' +
  '(?=\\g{-3}\\g{-2}\\g{-1}[0-9]{3,9}\\.)0*(?<fid>[0-9]+)\\.fid$';

function staticFiles({ docroot, links }: NginxPlan): string {
  // The slot itself may be a link: that is how disks are put into a docroot.
  const refuseLinks = '      disable_symlinks on from=$document_root$slot;\n';
  // What a pattern remembers costs a hundredth of a read of 4 KiB.
  const slot = links === 'follow' ? device : `(?<slot>${device})`;
  const file = `      root ${docroot};
      # The same on every replica: number and length (a file time would differ).
      add_header ETag '"$fid-$sent_http_content_length"';
${links === 'follow' ? '' : refuseLinks}      log_not_found off;
      # 405 is what nginx has for methods other than GET and HEAD.
      error_page 403 404 405 418 500 = @node;`;
  return `    recursive_error_pages on;
    # Names of other kinds are the node's.
    location ~ "^${slot}${replica}" {
${forNode.map((name) => `      if ($http_${name}) { return 418; }`).join('\n')}
      if ($request_method = HEAD) { return 419; }
      error_page 419 = @head;
${file}
    }
    location @head {
      # Which nginx would answer with a part.
      if ($http_range) { return 418; }
${file}
    }
`;
}

function allowLines(networks: readonly string[]): string {
  return `${networks.map((network) => `    allow ${network};\n`).join('')}    deny all;\n`;
}

function tempPaths(runDir: string): string {
  return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${runDir}/${kind};`)
    .join('\n');
}

function listenLine({ host, port }: { host: string; port: number }): string {
  const address = host.includes(':') ? `[${host}]` : host;
  // As Node.js does it: the unspecified address of IPv6 is every address.
  const every = host === '::' ? ' ipv6only=off' : '';
  return `    listen ${address}:${port} backlog=1024${every};`;
}

/** Blanks, quotes and variables would be read as something else. */
function checkPath(path: string): void {
  if (/^[A-Za-z0-9_./+=@,-]+$/.test(path)) return;
  throw new Error(`the path ${path} cannot be used with server = nginx; use plain letters`);
}
