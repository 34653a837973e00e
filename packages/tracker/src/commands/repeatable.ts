/** Requests that only read: executed twice they do what they do once. */
import { decodeRequest } from '@omgfs/protocol';

const reading = new Set([
  ...['get_paths', 'file_info', 'file_debug', 'list_keys', 'list_fids', 'list_files', 'noop'],
  ...['get_domains', 'get_hosts', 'get_devices', 'server_setting', 'server_settings'],
  ...['fsck_status', 'fsck_getlog', 'rebalance_status', 'explain', 'queue_stats'],
]);

/** Whether a request line may be executed again when nobody knows whether it was. */
export function isRepeatable(line: string): boolean {
  return reading.has(decodeRequest(line).command);
}
