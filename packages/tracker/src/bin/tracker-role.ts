/** A process of a tracker that the front starts: `tracker-role.js query|jobs|http <options>`. */
import { readConfig } from '../config.ts';
import { keepHeapSmall } from '../heap.ts';
import { HttpRole } from '../roles/http-role.ts';
import { JobsRole } from '../roles/jobs-role.ts';
import { QueryRole } from '../roles/query-role.ts';

keepHeapSmall();
const [name, ...options] = process.argv.slice(2);
const commandLine = readConfig(options);
if (commandLine.action !== 'run' || process.send === undefined) process.exit(2);

// The front stops its children in order; a Ctrl-C and a service manager reach them as well.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
// Without the front nobody would ever end this process.
process.on('disconnect', () => process.exit(1));

const kinds = { jobs: JobsRole, http: HttpRole, query: QueryRole };
const Kind = kinds[name === 'jobs' || name === 'http' ? name : 'query'];
const role = new Kind(commandLine.config, () => process.exit(0));
process.on('uncaughtException', (error) => {
  role.fail(error);
  // At once: what is read from now on would be lost.
  process.exit(70);
});
