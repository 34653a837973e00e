/** WebDAV for any file system. */
export { DavError } from './errors.ts';
export type { DavEntry, DavFileSystem, FileFacts } from './file-system.ts';
export { WebDav, type WebDavOptions } from './server.ts';
