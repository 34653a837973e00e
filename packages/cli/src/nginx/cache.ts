/**
 * A cache of whole files in the proxy, by `omgfs nginx-config --cache`. The bytes of a fid never
 * change and are the same on every replica, so they are kept by fid; who may read a file is still
 * asked of the application every time, since only its answer leads to the bytes.
 */
import { OmgfsError } from '@omgfs/protocol';

export interface NginxCache {
  /** An absolute path, or one below the directory of nginx. */
  dir: string;
  /** As nginx writes it: `10g`. */
  size: string;
}

/** @throws BAD_ARGS for what would not be one word of a configuration. */
export function checkCache({ dir, size }: NginxCache): void {
  if (!/^[\w./-]+$/.test(dir)) {
    throw new OmgfsError('BAD_ARGS', { message: `'${dir}' cannot be written as a directory` });
  }
  if (!/^[1-9]\d{0,8}[kmg]$/.test(size)) {
    throw new OmgfsError('BAD_ARGS', { message: `'${size}' is no size like 500m or 10g` });
  }
}

/** For the `http` block. */
export function cacheHttpConf({ dir, size }: NginxCache): string {
  return String.raw`
# Files read through this proxy. Remove them when a cluster is made anew: its fids start over.
proxy_cache_path ${dir} levels=1:2 keys_zone=omgfs:16m
  max_size=${size} inactive=7d use_temp_path=off;

# The part of a URL that all replicas of a file have in common, and no other file.
map $reproxy_url $reproxy_fid {
  volatile;
  "~^http://[^/]+/dev\d+/(\d/\d{3}/\d{3}/\d{10,}\.fid)(?:\?|$)" $1;
}

# Parts of files and questions about them go to the storage node.
map "$request_method:$reproxy_range:$reproxy_fid" $reproxy_uncached {
  volatile;
  default 1;
  "~^GET::." "";
}

# Files of 10 MB and more: they would drive out thousands of small ones.
map $upstream_http_content_length $reproxy_large {
  volatile;
  "~^\d{8,}$" 1;
}
`.trimStart();
}

/** For each hop. */
export const cacheHopConf = `
# A copy in the cache serves whoever the application lets, also when no storage node answers. It is
# fetched anew after an hour, in case the replica was bad.
proxy_cache omgfs;
proxy_cache_key $reproxy_fid;
proxy_cache_valid 200 1h;
proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
proxy_cache_bypass $reproxy_uncached;
proxy_no_cache $reproxy_uncached $reproxy_large;
proxy_cache_convert_head off;
# Many who want a new file at once wait for the first of them.
proxy_cache_lock on;
proxy_cache_lock_timeout 5s;
# Kept files that are read over and over stay open. nginx knows each by its inode, so what was
# fetched anew is never taken for what was there before.
open_file_cache max=1000 inactive=20s;
# How long the bytes are kept is not for a stored file to say.
proxy_ignore_headers Cache-Control Expires Set-Cookie Vary
  X-Accel-Redirect X-Accel-Expires X-Accel-Buffering X-Accel-Limit-Rate;
`;
