export { type ReproxyOptions, type ReproxyShape, reproxyHeaders } from '@omgfs/protocol';
export type { Client, ClientOptions, FileInfo, Key, ListOptions, PutOptions } from './client.ts';
export { createClient } from './client.ts';
export type { ByteRange, Download } from './download.ts';
export type { UploadSource } from './source.ts';
export type { RequestOptions, TrackerPool, TrackerPoolOptions } from './tracker-pool.ts';
export { createTrackerPool } from './tracker-pool.ts';
export type { StoredFile } from './upload.ts';
