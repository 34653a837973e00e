export {
  contentDisposition,
  type Disposition,
  preferNetworks,
  type ReproxyAnswer,
  type ReproxyAnswerOptions,
  type ReproxyOptions,
  type ReproxyShape,
  reproxyAnswer,
  reproxyHeaders,
} from '@omgfs/protocol';
export { Admin, createAdmin } from './admin/admin.ts';
export type * from './admin/types.ts';
export type {
  Client,
  ClientOptions,
  FileInfo,
  GetOptions,
  Key,
  ListOptions,
  PutOptions,
} from './client.ts';
export { createClient } from './client.ts';
export type { ByteRange, Download, UsePiece } from './download/download.ts';
export type { PathCacheOptions } from './path-cache.ts';
export { type NodeResponse, type ReplyLike, sendReproxy } from './send-reproxy.ts';
export type { RequestOptions, TrackerPool, TrackerPoolOptions } from './tracker-pool.ts';
export { createTrackerPool } from './tracker-pool.ts';
export type { UploadSource } from './upload/source.ts';
export type { StoredFile } from './upload/upload.ts';
