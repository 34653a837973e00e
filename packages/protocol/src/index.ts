export * from './checksum.ts';
export * from './errors.ts';
export * from './fid-path.ts';
export * from './limits.ts';
export * from './lists.ts';
export * from './reproxy.ts';
export * from './signing.ts';
export * from './wire.ts';
