/** `omgfs admin jobs`: what the background jobs do, and making them rest. */
import type { JobInfo } from '@omgfs/client';
import { Argument, type Command } from 'commander';
import type { WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

const names = ['replicate', 'delete', 'fsck', 'rebalance', 'reaper', 'heal', 'scrub'];

export function addJobCommands(admin: Command, withAdmin: WithAdmin): void {
  const jobs = admin.command('jobs').description('the background jobs of all trackers');
  jobs.addHelpText('after', examples);
  jobs
    .command('list', { isDefault: true })
    .description('which are paused, and how much the others get through')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        printTable(await one.jobs(), {
          json,
          columns: {
            JOB: (job: JobInfo) => job.name,
            STATE: (job: JobInfo) => (job.paused ? 'paused' : 'running'),
            'PER S': (job: JobInfo) => job.perSecond,
          },
        });
      }),
    );
  const change = (verb: string, paused: boolean, description: string) =>
    jobs
      .command(verb)
      .description(description)
      .addArgument(new Argument('<job>', 'its name').choices(names))
      .action(
        withAdmin(async ({ admin: one, json }, job: string) => {
          await one.pauseJob(job, paused);
          const text = paused ? `${job} rests within seconds.` : `${job} goes on within seconds.`;
          printDone(text, { job, paused }, { json });
        }),
      );
  change('pause', true, 'let a job rest, on all trackers of omgfs; what is in work is finished');
  change('resume', false, 'let a job go on');
}

const examples = `
Jobs: ${names.join(', ')}. Trackers of MogileFS do not notice a pause.

Examples:
  omgfs admin jobs                     what they do
  omgfs admin jobs pause replicate     copy nothing for now
  omgfs admin jobs resume replicate
`;
