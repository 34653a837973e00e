/**
 * Answers of the application that nginx keeps for a while, by `omgfs nginx-config --answer-cache`:
 * so long it finds the replicas of a file without asking. An answer is kept only when it says for
 * how long and for whom.
 *
 * nginx acts on `X-Accel-Redirect` before it would store the answer, and crashes over a stored one.
 * So below a path it asks in a subrequest, which it can keep, and goes to the replicas by itself.
 */
import { OmgfsError } from '@omgfs/protocol';

export type AnswersFor = 'user' | 'everyone';

export interface AnswerCache {
  /** An absolute path, or one below the directory of nginx. */
  dir: string;
  /** What URLs begin with whose answers may be kept. */
  path: string;
  /**
   * Whether a kept answer goes to whoever sends the same `Cookie` and `Authorization`, or to
   * everyone, where it says so itself.
   */
  keptFor: AnswersFor;
}

/** @throws BAD_ARGS for what would not be one word of a configuration. */
export function checkAnswerCache({ dir, path }: AnswerCache): void {
  if (!/^[\w./-]+$/.test(dir)) {
    throw new OmgfsError('BAD_ARGS', { message: `'${dir}' cannot be written as a directory` });
  }
  if (!/^\/[\w./-]*$/.test(path)) {
    throw new OmgfsError('BAD_ARGS', { message: `'${path}' cannot be written as a path of URLs` });
  }
}

/** For the `http` block. */
export function answersHttpConf({ dir, keptFor }: AnswerCache): string {
  const known = keptFor === 'everyone' ? 'everyone' : '(?:user|everyone)';
  const names = ['x_accel_redirect', 'set_cookie', 'x_reproxy_url'];
  const facts = names.map((name) => `$upstream_http_${name}`).join(';');
  return `
# Answers of the application. They are small, and hold the cookies and tokens they are kept for: use
# a directory in memory.
proxy_cache_path ${dir} levels=1:2 keys_zone=omgfs_answers:16m
  max_size=256m inactive=10m use_temp_path=off;

# The URLs of an answer for nginx that sets no cookie.
map "${facts}" $reproxy_answer {
  volatile;
  "~^/[^;]*;;(http://.*)$" $1;
}

# Kept is one that says whom it is for; another one serves who asked.
map "$upstream_http_x_reproxy_for;$reproxy_answer" $reproxy_unkept {
  volatile;
  default 1;
  "~^${known};http" "";
}

# Conditions are judged by the application, unless its answer is kept.
map "$reproxy_once;$http_if_none_match$http_if_modified_since" $reproxy_ask {
  volatile;
  "~^1;." 1;
}
`.trimStart();
}

/** How the application is asked, in every place. */
export const askConf = `
# How the application is asked; included wherever it is. Headers that yours wants from the proxy,
# like X-Forwarded-For, belong here.

proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $host;
`.trimStart();

/** For the `server` block, before the chain of hops. */
export function answersConf({ path, keptFor }: AnswerCache): string {
  const who = keptFor === 'everyone' ? '' : ' $http_authorization $http_cookie';
  return `
# Files whose addresses are kept. An answer that names them is used; any other is asked for again
# and passed on as it is. Include this in the server { } block, before omgfs-reproxy.conf.

location ${path} {
  if ($request_method !~ "^(?:GET|HEAD)$") { return 419; }
  auth_request /omgfs-answer;
  auth_request_set $reproxy_urls $reproxy_answer;
  auth_request_set $reproxy_once $reproxy_unkept;
  auth_request_set $reproxy_kept $upstream_cache_status;
  auth_request_set $reproxy_type $upstream_http_content_type;
  auth_request_set $reproxy_type_options $upstream_http_x_content_type_options;
  auth_request_set $reproxy_policy $upstream_http_content_security_policy;
  auth_request_set $reproxy_meta $upstream_http_x_omgfs_meta;
  # Which nginx itself passes on when it acts on an answer.
  auth_request_set $reproxy_disposition $upstream_http_content_disposition;
  auth_request_set $reproxy_cache_control $upstream_http_cache_control;
  auth_request_set $reproxy_expires $upstream_http_expires;
  error_page 401 403 419 500 = @application;
  # There is none: what is left to do comes after the question.
  root /dev/null;
  try_files /none @reproxy_kept;
}

location = /omgfs-answer {
  internal;
  proxy_pass http://application$request_uri;
  include omgfs-ask.conf;
  proxy_pass_request_body off;
  proxy_set_header Content-Length "";
  proxy_cache omgfs_answers;
  proxy_cache_key "$host$request_uri${who}";
  proxy_no_cache $reproxy_unkept;
  # How long browsers may keep a file says nothing about this; X-Accel-Expires does.
  proxy_ignore_headers X-Accel-Redirect Cache-Control Expires;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  # Else it would be logged as unexpected.
  proxy_intercept_errors on;
  error_page 301 302 303 304 307 308 400 404 405 406 409 410 = @no_answer;
  error_page 412 416 429 500 502 503 504 = @no_answer;
}

location @no_answer {
  return 403;
}

location @application {
  proxy_pass http://application;
  include omgfs-ask.conf;
  proxy_request_buffering off;
}

location @reproxy_kept {
  if ($reproxy_urls = "") { return 419; }
  if ($reproxy_ask) { return 419; }
  error_page 419 = @application;
  set $reproxy_url_1 "";
  set $reproxy_url_2 "";
  set $reproxy_url_3 "";
  if ($reproxy_urls ~ "^(\\\\S+)(?:\\\\s+(\\\\S+))?(?:\\\\s+(\\\\S+))?") {
    set $reproxy_url_1 $1;
    set $reproxy_url_2 $2;
    set $reproxy_url_3 $3;
  }
  set $reproxy_range $http_range;
  if ($http_range ~ ",") {
    set $reproxy_range "";
  }
  error_page 418 = @reproxy_1;
  return 418;
}

# No replica serves: when the addresses were kept ones, the application is asked anew.
location @reproxy_again {
  if ($reproxy_kept != HIT) { return 503; }
  set $reproxy_kept "";
  set $reproxy_disposition "";
  set $reproxy_cache_control "";
  set $reproxy_expires "";
  proxy_pass http://application;
  include omgfs-ask.conf;
}
`.trimStart();
}

/** For each hop. */
export const answersHopConf = `
# Of a kept answer.
add_header Content-Disposition $reproxy_disposition;
add_header Cache-Control $reproxy_cache_control;
add_header Expires $reproxy_expires;
`;
