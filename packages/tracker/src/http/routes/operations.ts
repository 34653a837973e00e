/** Settings, the jobs an operator steers, and any other command by its name. */
import { listOf, valuesOf } from '@omgfs/protocol';
import { type ApiRoute, count, flag, text } from '../api.ts';

const settingUrl = '/v1/settings/:name';

const settingRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/settings',
    tag: 'settings',
    summary: 'All settings',
    run: async (api) => {
      const fields = await api.call('server_settings');
      const total = Number(fields.key_count ?? 0);
      return Object.fromEntries(
        Array.from({ length: total }, (_, at) => {
          return [fields[`key_${at + 1}`], fields[`value_${at + 1}`]];
        }),
      );
    },
  },
  {
    method: 'GET',
    url: settingUrl,
    tag: 'settings',
    summary: 'One setting; null when it is not set',
    run: async (api, input) => {
      const { value } = await api.call('server_setting', { key: input.param('name') });
      return { value };
    },
  },
  {
    method: 'PUT',
    url: settingUrl,
    tag: 'settings',
    summary: 'Set a setting',
    body: { fields: { value: text('the value') }, required: ['value'] },
    status: 204,
    run: (api, input) =>
      api.call('set_server_setting', { key: input.param('name'), value: input.body.value }),
  },
];

const fsckRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/fsck',
    tag: 'fsck',
    summary: 'State and counters of fsck',
    run: (api) => api.call('fsck_status'),
  },
  action('fsck', 'start', 'Start or go on'),
  action('fsck', 'stop', 'Stop; what is queued already goes on'),
  {
    ...action('fsck', 'reset', 'Go back to a position'),
    body: {
      fields: {
        policy_only: flag('look at the database only, not at the devices'),
        startpos: count('fid to start behind'),
        domain: text('only files of this domain'),
        class: text('only files of this class of the domain'),
        prefix: text('only keys of the domain that begin with this'),
      },
    },
  },
  {
    method: 'GET',
    url: '/v1/fsck/log',
    tag: 'fsck',
    summary: 'Findings, at most 100 at a time',
    query: { after: count('start behind this logid') },
    run: async (api, { query }) => {
      const fields = await api.call('fsck_getlog', { after_logid: query.after });
      return listOf(fields, { prefix: 'row_', total: fields.row_count ?? 0 });
    },
  },
  {
    method: 'DELETE',
    url: '/v1/fsck/log',
    tag: 'fsck',
    summary: 'Clear the findings',
    status: 204,
    run: (api) => api.call('fsck_clearlog'),
  },
];

const rebalanceRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/rebalance',
    tag: 'rebalance',
    summary: 'State of the rebalance',
    run: (api) => api.call('rebalance_status', { details: true }),
  },
  {
    method: 'PUT',
    url: '/v1/rebalance/policy',
    tag: 'rebalance',
    summary: 'Set what to move where',
    body: {
      fields: { policy: text('for example from_percent_used=95 to_percent_free=10') },
      required: ['policy'],
    },
    status: 204,
    run: (api, { body }) => api.call('rebalance_set_policy', body),
  },
  {
    method: 'GET',
    url: '/v1/rebalance/test',
    tag: 'rebalance',
    summary: 'Which devices the policy selects, without moving anything',
    run: (api) => api.call('rebalance_test'),
  },
  {
    ...action('rebalance', 'even', 'Even out how full devices are'),
    body: {
      fields: {
        tolerance: count('percent points a device may be off the mean, by default 5'),
        by: { type: 'string', enum: ['usage', 'files'] },
      },
    },
  },
  {
    method: 'GET',
    url: '/v1/drains',
    tag: 'rebalance',
    summary: 'Devices that are being emptied, and whether they can be pulled',
    run: async (api) => {
      const fields = await api.call('drain_status');
      return listOf(fields, { prefix: 'dev', total: fields.devices });
    },
  },
  {
    method: 'GET',
    url: '/v1/scrub',
    tag: 'fsck',
    summary: 'How far nodes are with reading their devices again, and what they found',
    run: async (api) => {
      const fields = await api.call('scrub_status');
      return listOf(fields, { prefix: 'dev', total: fields.devices });
    },
  },
  {
    method: 'POST',
    url: '/v1/devices/:devid/drain',
    tag: 'rebalance',
    summary: 'Move everything off a device',
    run: (api, input) => api.call('drain_device', { device: input.param('devid') }),
  },
  {
    method: 'DELETE',
    url: '/v1/devices/:devid/drain',
    tag: 'rebalance',
    summary: 'Call it off',
    status: 204,
    run: (api, input) => api.call('drain_stop', { device: input.param('devid') }),
  },
  {
    method: 'POST',
    url: '/v1/hosts/:host/evacuate',
    tag: 'rebalance',
    summary: 'Move everything off all devices of a host',
    run: (api, input) => api.call('evacuate_host', { host: input.param('host') }),
  },
  action('rebalance', 'start', 'Start or go on'),
  action('rebalance', 'stop', 'Stop; it can be started again'),
  action('rebalance', 'reset', 'Forget the position'),
];

const explainRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/explain',
    tag: 'explain',
    summary: 'What the system thinks of a file, device or class and plans for it, in sentences',
    query: {
      domain: text('domain of the key'),
      key: text('a key'),
      fid: count('or a fid'),
      devid: count('or a device'),
      class: text('or a class of the domain'),
    },
    run: async (api, { query }) => {
      const fields = await api.call('explain', query);
      return { lines: valuesOf(fields, { prefix: 'line', total: fields.lines }) };
    },
  },
  {
    method: 'GET',
    url: '/v1/queues',
    tag: 'explain',
    summary: 'How full the queues are, for how long their rows wait, and most often why',
    run: async (api) => {
      const fields = await api.call('queue_stats');
      const reasons = listOf(fields, { prefix: 'reason', total: fields.reasons });
      return listOf(fields, { prefix: 'queue', total: fields.queues }).map((queue) => ({
        ...queue,
        reasons: reasons.flatMap(({ job, ...reason }) => (job === queue.name ? [reason] : [])),
      }));
    },
  },
  {
    method: 'GET',
    url: '/v1/jobs',
    tag: 'explain',
    summary: 'Which jobs are paused, and how much the others get through a second',
    run: async (api) => {
      const fields = await api.call('queue_stats');
      return listOf(fields, { prefix: 'job', total: fields.jobs });
    },
  },
  {
    method: 'PUT',
    url: '/v1/jobs/:job',
    tag: 'explain',
    summary: 'Pause a job on all trackers, or let it go on',
    body: {
      fields: { paused: flag('whether it rests') },
      required: ['paused'],
    },
    status: 204,
    run: (api, input) => {
      const key = `omg_pause_${input.param('job')}`;
      return api.call('set_server_setting', { key, value: input.body.paused });
    },
  },
];

const maintenanceRoutes: readonly ApiRoute[] = [
  {
    method: 'POST',
    url: '/v1/replicate-now',
    tag: 'maintenance',
    summary: 'Make every waiting replication due now',
    run: (api) => api.call('replicate_now'),
  },
  {
    method: 'POST',
    url: '/v1/clear-cache',
    tag: 'maintenance',
    summary: 'Read the database again and look at every device',
    status: 204,
    run: (api) => api.call('clear_cache'),
  },
  {
    method: 'POST',
    url: '/v1/commands/:command',
    tag: 'maintenance',
    summary: 'Any command of the line protocol, with its arguments and reply fields as JSON',
    body: { fields: {}, open: true },
    run: (api, input) => api.call(input.param('command').toLowerCase(), input.body),
  },
];

export const operationRoutes: readonly ApiRoute[] = [
  ...settingRoutes,
  ...fsckRoutes,
  ...rebalanceRoutes,
  ...explainRoutes,
  ...maintenanceRoutes,
];

/** `POST /v1/<job>/<verb>`. */
function action(job: 'fsck' | 'rebalance', verb: string, summary: string): ApiRoute {
  return {
    method: 'POST',
    url: `/v1/${job}/${verb}`,
    tag: job,
    summary,
    run: (api, { body }) => api.call(`${job}_${verb}`, body),
  };
}
