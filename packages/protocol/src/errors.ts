/**
 * The one table of errors. A code is permanent: it is never renamed and never reused. `wire` is the
 * word of the line protocol (spec §2.8) and `text` its canned text where the original has one;
 * where it has none, text and word are equal on the wire, and clients compare that.
 */

/** Response header of a storage node: the code of the error it answers with. */
export const errorHeader = 'omgfs-error';

/** What a caller can do: give up, try again later, or try another tracker or device. */
export type Retry = 'never' | 'same' | 'other';

export interface ErrorFacts {
  wire: string;
  text?: string;
  status: number;
  retry: Retry;
  message: string;
}

function facts<const Table extends Record<string, ErrorFacts>>(table: Table): Table {
  return table;
}

function input(wire: string, message: string, text?: string): ErrorFacts {
  return { wire, status: 400, retry: 'never', message, ...(text === undefined ? {} : { text }) };
}

function absent(wire: string, message: string, text?: string): ErrorFacts {
  return { ...input(wire, message, text), status: 404 };
}

function conflict(wire: string, message: string, text?: string): ErrorFacts {
  return { ...input(wire, message, text), status: 409 };
}

function unavailable(message: string): ErrorFacts {
  return { wire: 'failure', status: 503, retry: 'other', message };
}

export const errorTable = facts({
  // Input.
  UNKNOWN_COMMAND: input(
    'unknown_command',
    'The tracker has no such command.',
    'Unknown server command',
  ),
  NO_DOMAIN: input('no_domain', 'The request names no domain.', 'No domain provided'),
  NO_KEY: input('no_key', 'The request names no key.'),
  NO_FID: input('no_fid', 'The request names no fid.'),
  NO_DEVID: input('no_devid', 'The request names no device.'),
  NO_PATH: input('no_path', 'The request names no path.'),
  NO_CLASS: input('no_class', 'The request names no class.', 'No class provided'),
  NO_HOST: input('no_host', 'The request names no host.', 'No host provided'),
  NO_IP: input(
    'no_ip',
    'The request gives no IP address for the host.',
    'IP required to create host',
  ),
  NO_PORT: input(
    'no_port',
    'The request gives no port for the host.',
    'Port required to create host',
  ),
  BAD_ARGS: input('bad_args', 'The request lacks an argument.', 'No hostid/hostname parameter'),
  BAD_PARAMS: input(
    'bad_params',
    'An argument is missing or invalid.',
    'Invalid parameters to command; please see documentation',
  ),
  BOGUS_ARGS: input('bogus_args', 'The path is not the one the tracker handed out.'),
  KEY_TOO_LONG: input('db', 'The key is longer than 255 bytes.', 'Key is longer than 255 bytes'),
  NAME_TOO_LONG: input('failure', 'The name is longer than its column.', 'Name is too long'),
  REQUEST_TOO_LONG: input('failure', 'The request line is too long.', 'Request line is too long'),
  AFTER_MISMATCH: input(
    'after_mismatch',
    'The key to list after is outside the prefix.',
    'Pattern does not match the after-value?',
  ),
  INVALID_CHECKSUM: input(
    'invalid_checksum_format',
    'A checksum is written MD5:<32 hex> or SHA-1:<40 hex>.',
  ),
  INVALID_DESTDEV: input(
    'invalid_destdev',
    'The upload was not opened on that device.',
    'Invalid destination device',
  ),
  INVALID_DEVID: input('invalid_devid', 'A device id is a positive number.'),
  INVALID_FORMAT: input(
    'invalid_format',
    'The value of the setting is not valid.',
    'Invalid value for this setting',
  ),
  INVALID_HASHTYPE: input('invalid_hashtype', 'The hash type is MD5, SHA-1 or NONE.'),
  INVALID_MINDEVCOUNT: input(
    'invalid_mindevcount',
    'A class needs at least one copy.',
    'The mindevcount must be at least 1',
  ),
  INVALID_REPLPOLICY: input(
    'invalid_replpolicy',
    'The replication policy cannot be parsed.',
    'Invalid replication policy',
  ),
  INVALID_STATE: input('invalid_state', 'The device state is not valid.'),
  UNKNOWN_STATE: input('unknown_state', 'The state is not valid.', 'Invalid/unknown state'),
  STATE_TOO_HIGH: input(
    'state_too_high',
    'A dead device must be marked down before alive.',
    'Status cannot go from dead to alive; must use down',
  ),
  BAD_REBAL_POL: input('bad_rebal_pol', 'The policy of rebalance is not valid.'),
  NOT_WRITABLE: input('not_writable', 'That setting cannot be changed by a client.'),
  INVALID_PATH: input('failure', 'The path is not one that this node stores files under.'),
  BAD_REQUEST: input('failure', 'The request cannot be carried out as it is.'),
  BAD_DIGEST: input('failure', 'The body does not have the digest that was announced.'),
  PATH_FORBIDDEN: { ...input('failure', 'The path is reserved for the node.'), status: 403 },
  METHOD_NOT_ALLOWED: { ...input('failure', 'The method is not offered.'), status: 405 },
  PRECONDITION_FAILED: {
    ...input('failure', 'The key does not stand for the file that the request names.'),
    status: 412,
  },
  BODY_TOO_LARGE: { ...input('failure', 'The body is longer than is allowed.'), status: 413 },
  UNSUPPORTED_TYPE: { ...input('failure', 'The body is of another type.'), status: 415 },
  SOURCE_FAILED: input('failure', 'The stream that was to be stored failed.'),
  BODY_TIMEOUT: {
    ...input('failure', 'The body of the request did not go on in time.'),
    status: 408,
  },
  RANGE_NOT_SATISFIABLE: {
    wire: 'failure',
    status: 416,
    retry: 'never',
    message: 'The file has no byte in the range.',
  },
  UNAUTHORIZED: {
    ...input('failure', 'The request carries no valid bearer token for this.'),
    status: 401,
  },
  ADDRESS_REFUSED: {
    ...input('failure', 'Clients of that network are not allowed here.'),
    status: 403,
  },
  PULL_REFUSED: {
    ...input('failure', 'The node does not fetch from there.'),
    status: 403,
  },
  CROSS_ORIGIN: {
    ...input('failure', 'A page of another site must not change anything here.'),
    status: 403,
  },
  // Absence.
  NO_ROUTE: absent('failure', 'There is no such address.'),
  NO_FILE: absent('failure', 'No such file on the device.'),
  UNREG_DOMAIN: absent(
    'unreg_domain',
    'The domain does not exist.',
    'Domain name invalid/not found',
  ),
  UNREG_CLASS: absent('unreg_class', 'The class does not exist in the domain.'),
  UNKNOWN_KEY: absent('unknown_key', 'No file is stored under the key.'),
  INVALID_KEY: absent('invalid_key', 'No file is stored under the key.'),
  UNKNOWN_FID: absent('unknown_fid', 'No such fid.'),
  UNKNOWN_HOST: absent('unknown_host', 'No such host.', 'Host not found'),
  UNKNOWN_HOSTID: absent('unknown_hostid', 'No host has that id.'),
  DOMAIN_NOT_FOUND: absent('domain_not_found', 'No such domain.', 'Domain not found'),
  CLASS_NOT_FOUND: absent('class_not_found', 'No such class in the domain.', 'Class not found'),
  HOST_NOT_FOUND: absent('host_not_found', 'No such host.', 'Host not found'),
  NO_DEVICE: absent('no_device', 'No such device.', 'Device not found'),
  NO_TEMP_FILE: absent(
    'no_temp_file',
    'The upload is unknown or already closed.',
    'No tempfile or file already closed',
  ),
  NONE_MATCH: absent(
    'none_match',
    'No key matches.',
    'No keys match that pattern and after-value (if any).',
  ),
  // Conflict.
  KEY_EXISTS: conflict(
    'key_exists',
    'Another file is stored under the target key.',
    "Target key name already exists; can't overwrite.",
  ),
  TOO_MANY_KEYS: conflict('failure', 'So many keys are not renamed at once; nothing was renamed.'),
  DOMAIN_EXISTS: conflict(
    'domain_exists',
    'The domain exists already.',
    'That domain already exists',
  ),
  DOMAIN_HAS_FILES: conflict(
    'domain_has_files',
    'The domain still has files.',
    'Domain still has files, unable to delete',
  ),
  DOMAIN_HAS_CLASSES: conflict('domain_has_classes', 'The domain still has classes.'),
  CLASS_EXISTS: conflict(
    'class_exists',
    'The class exists already.',
    'That class already exists in that domain',
  ),
  CLASS_HAS_FILES: conflict(
    'class_has_files',
    'The class still has files.',
    'Class still has files, unable to delete',
  ),
  NODEL_DEFAULT_CLASS: conflict(
    'nodel_default_class',
    'The default class cannot be deleted.',
    'Cannot delete the default class',
  ),
  HOST_EXISTS: conflict('host_exists', 'The host exists already.', 'That host already exists'),
  HOST_MISMATCH: conflict(
    'host_mismatch',
    'The device belongs to another host.',
    "The device specified doesn't belong to the host specified",
  ),
  HOST_NOT_EMPTY: conflict(
    'host_not_empty',
    'The host still has devices.',
    'Unable to delete host; it contains devices still',
  ),
  EXISTING_DEVID: conflict('existing_devid', 'The device id is taken.'),
  FID_IN_USE: conflict('fid_in_use', 'The fid is in use.'),
  FID_EXISTS: conflict('fid_exists', 'The fid is the current one of the key already.'),
  DUPLICATE: conflict('dup', 'A name or address is taken.', 'Duplicate name/number used.'),
  OFFSET_MISMATCH: conflict('failure', 'The upload goes on at another byte.'),
  FSCK_RUNNING: conflict('fsck_running', 'A fsck is running.', 'fsck is already running'),
  REBAL_RUNNING: conflict(
    'rebal_running',
    'A rebalance is running.',
    'rebalance running; cannot run fsck at same time',
  ),
  REBAL_ACTIVE: conflict('rebal_running', 'A rebalance runs.', 'rebalance is already running'),
  NO_SET_REBAL: conflict('no_set_rebal', 'A rebalance runs, so its policy cannot be changed.'),
  NO_REBAL_POLICY: conflict('no_rebal_policy', 'No policy is set.', 'No rebalance policy is set'),
  NO_REBAL_STATE: conflict('no_rebal_state', 'None was started.', 'No available rebalance status'),
  REBAL_NOT_STARTED: conflict('rebal_not_started', 'No rebalance runs.', 'Rebalance not running'),
  PATH_CONFLICT: conflict('failure', 'Something else exists under that path.'),
  // Integrity.
  SIZE_MISMATCH: {
    wire: 'size_mismatch',
    status: 422,
    retry: 'other',
    message: 'The stored file has another size than announced.',
  },
  SIZE_VERIFY_ERROR: {
    wire: 'size_verify_error',
    status: 422,
    retry: 'other',
    message: 'The stored file could not be verified.',
  },
  CHECKSUM_MISMATCH: {
    wire: 'checksum_mismatch',
    status: 422,
    retry: 'other',
    message: 'The stored file has another checksum than announced.',
  },
  COPY_ERR: {
    wire: 'copy_err',
    status: 502,
    retry: 'other',
    message: 'The replica could not be copied.',
  },
  // Capacity.
  NO_DEVICES: {
    wire: 'no_devices',
    text: 'No devices found to store file',
    status: 507,
    retry: 'same',
    message: 'No device can take the file now.',
  },
  DEVICE_FULL: { wire: 'failure', status: 507, retry: 'other', message: 'The device is full.' },
  // Availability.
  FILE_UNREADABLE: {
    wire: 'failure',
    status: 500,
    retry: 'other',
    message: 'The bytes of the file cannot be read, though its disk works.',
  },
  NO_REPLICA_UP: unavailable('No replica of the file can be read now.'),
  NO_TRACKER_UP: { wire: 'failure', status: 503, retry: 'same', message: 'No tracker answers.' },
  DEADLINE_EXCEEDED: {
    wire: 'failure',
    status: 504,
    retry: 'other',
    message: 'The deadline passed.',
  },
  DEVICE_DOWN: unavailable('The device cannot be reached.'),
  DEVICE_BUSY: unavailable('Too many requests wait for the device.'),
  DEVICE_REFUSED: unavailable('The directory of the device does not hold the disk it should.'),
  TRACKER_BUSY: unavailable('Too many transfers pass through the tracker at once.'),
  DB_DOWN: {
    wire: 'failure',
    text: 'Operation failed',
    status: 503,
    retry: 'other',
    message: 'The database cannot be reached.',
  },
  DB_BUSY: {
    wire: 'failure',
    text: 'Operation failed',
    status: 503,
    retry: 'same',
    message: 'The database gave up on a deadlock or a lock wait, several times.',
  },
  SHUTTING_DOWN: {
    wire: 'failure',
    text: 'Operation failed',
    status: 503,
    retry: 'other',
    message: 'The tracker is shutting down.',
  },
  // Internal.
  FAILURE: {
    wire: 'failure',
    text: 'Operation failed',
    status: 500,
    retry: 'same',
    message: 'The operation failed.',
  },
  BAD_REPLY: {
    wire: 'failure',
    status: 502,
    retry: 'other',
    message: 'The answer is not one of this protocol.',
  },
  SCHEMA_TOO_NEW: {
    wire: 'failure',
    status: 500,
    retry: 'never',
    message: 'The database has a newer schema than this version knows.',
  },
  SCHEMA_MISSING: {
    wire: 'failure',
    status: 500,
    retry: 'never',
    message: 'The database has no MogileFS schema or an older one.',
  },
});

export type ErrorCode = keyof typeof errorTable;

export interface ErrorOptions {
  /** What failed, on which object, and what the operator can do. */
  message?: string;
  /** Replaces the canned text on the wire, for the few codes whose text tools parse. */
  wireText?: string;
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error class: match on `code`, never on the class or the message. */
export class OmgfsError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retry: Retry;
  readonly details: Record<string, unknown>;
  readonly wireText: string | undefined;

  /**
   * A server that refuses requests all day turns this off: then only errors of status 500 and up
   * record where they were thrown, which costs more than all else about a refusal.
   */
  static tracesRefusals = true;

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    const entry: ErrorFacts = errorTable[code];
    const framesMax = Error.stackTraceLimit;
    if (!OmgfsError.tracesRefusals && entry.status < 500) Error.stackTraceLimit = 0;
    super(options.message ?? entry.message, 'cause' in options ? { cause: options.cause } : {});
    Error.stackTraceLimit = framesMax;
    this.name = 'OmgfsError';
    this.code = code;
    this.status = entry.status;
    this.retry = entry.retry;
    this.details = options.details ?? {};
    this.wireText = options.wireText;
  }
}

/** Word and text of an error for the line protocol. */
export function wireError(error: OmgfsError): { code: string; text: string } {
  const entry: ErrorFacts = errorTable[error.code];
  return { code: entry.wire, text: error.wireText ?? entry.text ?? entry.wire };
}

/** Any thrown value as an OmgfsError; what is not one becomes FAILURE with the value as cause. */
export function toOmgfsError(thrown: unknown): OmgfsError {
  if (thrown instanceof OmgfsError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new OmgfsError('FAILURE', { message, cause: thrown });
}
