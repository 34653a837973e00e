export type { StorageConfig } from './config.ts';
export { endLeftoverNginx } from './nginx/leftovers.ts';
export { createStorageNode, type StorageNode, type StorageOptions } from './storage.ts';
