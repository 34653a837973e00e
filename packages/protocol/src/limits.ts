/**
 * Every limit of the system that is not an operator's setting, with its unit in its name.
 * A limit exists so that memory is bounded by configuration and never by what a peer sends (I7).
 */
export const limits = {
  /** Longest request line a tracker accepts before it answers with an error and closes. */
  requestLineBytesMax: 1024 * 1024,
  /** Input and unread output that all clients of a process together may make it keep. */
  clientsBytesMax: 128 * 1024 * 1024,
  /** Output a client may leave unread before the tracker stops reading its requests. */
  clientOutputBytesMax: 256 * 1024,
  /** How long a client may leave output unread before it is disconnected (spec §1.1). */
  clientStallMs: 120_000,
  /** Longest key, in bytes: the width of `dkey`. */
  keyBytesMax: 255,
  /** What is kept of a file's description, in bytes: type, name, and metadata as JSON. */
  contentTypeBytesMax: 255,
  filenameBytesMax: 1024,
  metadataBytesMax: 8192,
  /** Keys in one `list_keys` answer (spec §2.1). */
  listKeysMax: 1000,
  /** Keys that one `rename_prefix` renames in its transaction. */
  renameKeysMax: 50_000,
  /** Fids in one `list_fids` answer (spec §2.1). */
  listFidsMax: 500,
  /** Devices offered by a `create_open` with `multi_dest` (spec §2.1). */
  openDestinationsMax: 3,
  /** Rows that one batched statement or transaction of the store carries at most. */
  storeBatchRowsMax: 256,
  /** Requests of one kind that wait for the database before more are refused. */
  storeQueueMax: 10_000,
  /** Candidates that take part in a weighted choice of devices (spec §5.7). */
  placementCandidatesMax: 20,
  /** Largest fid that a JavaScript number holds exactly. */
  fidMax: Number.MAX_SAFE_INTEGER,
} as const;
