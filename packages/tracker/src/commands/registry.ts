/** All commands by name (spec §2). */
import { classCommands } from './classes.ts';
import type { Command, CommandTable } from './command.ts';
import { copyCommands } from './copies.ts';
import { createClose } from './create-close.ts';
import { createOpen } from './create-open.ts';
import { deviceCommands } from './devices.ts';
import { domainCommands } from './domains.ts';
import { explainCommands } from './explain/explain.ts';
import { fileDebug } from './file-debug.ts';
import { fileInfo } from './file-info.ts';
import { FreshNames } from './fresh-names.ts';
import { fsckCommands } from './fsck.ts';
import { getPaths } from './get-paths.ts';
import { hostCommands } from './hosts.ts';
import { keyCommands } from './keys.ts';
import { listFiles } from './list-files.ts';
import { listingCommands } from './listing.ts';
import { maintenanceCommands } from './maintenance.ts';
import { OpenUploads } from './open-uploads.ts';
import { rebalanceCommands } from './rebalance.ts';
import { drainCommands } from './rebalance-drain.ts';
import { resumableCommands } from './resumable.ts';
import { scrubCommands } from './scrub.ts';
import type { CommandServices } from './services.ts';
import { settingCommands } from './settings.ts';

export function createCommands(services: CommandServices): CommandTable {
  const opened = new OpenUploads();
  const names = new FreshNames(services.reload);
  const commands = Object.entries<Command>({
    create_open: createOpen(services, opened),
    create_close: createClose(services, opened),
    get_paths: getPaths(services),
    file_info: fileInfo(services),
    file_debug: fileDebug(services),
    list_files: listFiles(services),
    ...copyCommands(services, opened),
    ...explainCommands(services),
    ...keyCommands(services),
    ...listingCommands(services),
    ...domainCommands(services),
    ...classCommands(services),
    ...hostCommands(services),
    ...deviceCommands(services),
    ...settingCommands(services),
    ...fsckCommands(services),
    ...rebalanceCommands(services),
    ...drainCommands(services),
    ...scrubCommands(services),
    ...maintenanceCommands(services),
    ...resumableCommands(services),
  });
  return new Map(
    // By the time a close says that a domain is gone, it has done its work.
    commands.map(([name, command]) => [
      name,
      name === 'create_close' ? command : names.wrap(command),
    ]),
  );
}
