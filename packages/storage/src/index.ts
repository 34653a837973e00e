export type { StorageConfig } from './config.ts';
export { createStorageNode, type StorageNode, type StorageOptions } from './storage.ts';
