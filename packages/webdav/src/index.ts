/** WebDAV for any file system. */
export {};
