/**
 * The configuration of nginx that is the same for every cluster. `deploy/nginx` holds the same
 * files for whoever reads the repository; a test compares them.
 */
import type { AnswerCache } from './answers.ts';
import type { NginxCache } from './cache.ts';

/** Included in the `server` block. */
export const reproxyConf = String.raw`
# Fetches a file from its replicas after an application answered with
#
#   X-Accel-Redirect: /reproxy
#   X-Reproxy-URL:    http://10.0.0.1:7500/dev1/... http://10.0.0.2:7500/dev3/...
#
# Include it in the server { } block that proxies to the application. The first URL is tried, then
# the second, then the third; the client sees the first good answer. Tested with nginx 1.22.
#
# Where the URLs may lead is said by omgfs-targets.conf, which the http { } block must include.

# A hop that fails may lead to the next; without this the chain ends after the first.
recursive_error_pages on;

# Only an answer of the application leads here: a client that asks for it gets 404.
location = /reproxy {
  internal;
  set $reproxy_url_1 "";
  set $reproxy_url_2 "";
  set $reproxy_url_3 "";
  # nginx takes no list of URLs, so it is split here.
  if ($upstream_http_x_reproxy_url ~ "^(\S+)(?:\s+(\S+))?(?:\s+(\S+))?") {
    set $reproxy_url_1 $1;
    set $reproxy_url_2 $2;
    set $reproxy_url_3 $3;
  }
  # Read before the storage node's answer takes the place of the application's. An application
  # that serves what its users stored guards browsers with the next two; a tracker tells in the last
  # what else is kept of a file. Empty ones are not sent.
  set $reproxy_type $upstream_http_content_type;
  set $reproxy_type_options $upstream_http_x_content_type_options;
  set $reproxy_policy $upstream_http_content_security_policy;
  set $reproxy_meta $upstream_http_x_omgfs_meta;
  # The parts of an answer to several ranges are told apart by a Content-Type of the node, which
  # gives way to the application's; so such a request gets the whole file, as RFC 9110 allows.
  set $reproxy_range $http_range;
  if ($http_range ~ ",") {
    set $reproxy_range "";
  }
  # The hops are named locations, which turn no client request into an error page by accident.
  error_page 418 = @reproxy_1;
  return 418;
}

location @reproxy_1 {
  set $reproxy_url $reproxy_url_1;
  include omgfs-reproxy-hop.conf;
  if ($reproxy_1 = "") { return 503; }
  proxy_intercept_errors on;
  error_page 404 500 502 503 504 = @reproxy_2;
  proxy_pass $reproxy_1;
}

location @reproxy_2 {
  set $reproxy_url $reproxy_url_2;
  include omgfs-reproxy-hop.conf;
  if ($reproxy_2 = "") { return 503; }
  proxy_intercept_errors on;
  error_page 404 500 502 503 504 = @reproxy_3;
  proxy_pass $reproxy_2;
}

location @reproxy_3 {
  set $reproxy_url $reproxy_url_3;
  include omgfs-reproxy-hop.conf;
  if ($reproxy_3 = "") { return 503; }
  proxy_pass $reproxy_3;
}
`.trimStart();

/** Included by each hop of `reproxyConf`. */
export const hopConf = `
# One request to a storage node; included by each hop of omgfs-reproxy.conf.

proxy_http_version 1.1;
proxy_set_header Connection "";

# What the client sent for the application (cookies, credentials, tokens) is none of a storage
# node's business. Only what selects bytes goes on; an empty value is not sent at all.
proxy_pass_request_headers off;
proxy_set_header Range $reproxy_range;
proxy_set_header If-Range $http_if_range;
proxy_set_header If-Match $http_if_match;
proxy_set_header If-None-Match $http_if_none_match;
proxy_set_header If-Modified-Since $http_if_modified_since;
proxy_set_header If-Unmodified-Since $http_if_unmodified_since;

# An upload that was answered by a download must not be sent on.
proxy_pass_request_body off;
proxy_set_header Content-Length "";

# The defaults are 60 s each, and a client would wait that long for each dead replica. Connecting
# takes microseconds inside a data centre, so one second is a dead host. The read timeout counts
# between two reads; it should be above the longest stall of a disk that is busy but well.
proxy_connect_timeout 1s;
proxy_read_timeout 5s;
proxy_send_timeout 5s;

# Pieces of 16 KiB cost a third less processor time than the default of a page (measured with files
# of 64 KiB); a connection takes 144 KiB at most.
proxy_buffer_size 16k;
proxy_buffers 8 16k;

# A slow client must not fill the proxy's disk: the storage node waits instead.
proxy_max_temp_file_size 0;

# A stored file cannot steer the proxy.
proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Buffering X-Accel-Limit-Rate;

# Storage nodes do not know what is in a file; the application does.
proxy_hide_header Content-Type;
add_header Content-Type $reproxy_type;
add_header X-Content-Type-Options $reproxy_type_options;
add_header Content-Security-Policy $reproxy_policy;
add_header X-Omgfs-Meta $reproxy_meta;
`.trimStart();

/** A whole nginx before one application; both as nginx writes addresses. */
export function nginxConf(options: {
  application: string;
  listen: string;
  cache?: NginxCache | undefined;
  answers?: AnswerCache | undefined;
}): string {
  const answers = options.answers === undefined ? '' : '    include omgfs-answers.conf;\n';
  return `
# A complete nginx in front of an application. Run it in the directory of this file with a directory
# of its own for its process id, log and temporary files:
#
#   mkdir -p /tmp/omgfs-nginx
#   nginx -p /tmp/omgfs-nginx -c "$PWD/nginx.conf" -e stderr -g 'daemon off;'

worker_processes auto;
# A download goes through a dozen patterns.
pcre_jit on;
pid nginx.pid;
error_log error.log;

events { worker_connections 4096; }

http {
  access_log off;
  # Another proxy in front of this one keeps its connections.
  keepalive_requests 100000;
  # What a download takes is allocated at once.
  connection_pool_size 2k;
  request_pool_size 16k;
  client_body_temp_path client_body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
${options.cache === undefined ? '' : '  # Files of the cache.\n  sendfile on;\n'}
  include omgfs-targets.conf;

  upstream application {
    server ${options.application};
    keepalive 64;
  }

  server {
    listen ${options.listen};
    # The application decides what is too large.
    client_max_body_size 0;

    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      # Uploads go to the application as they arrive, not through a file of nginx.
      proxy_request_buffering off;
    }

${answers}    include omgfs-reproxy.conf;
  }
}
`.trimStart();
}
