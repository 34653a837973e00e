/** Keys, files and uploads. Keys stand in the path percent-encoded, `/` as `%2F`. */
import { listOf, OmgfsError, valuesOf } from '@omgfs/protocol';
import { type ApiRoute, count, flag, type Input, type JsonFields, text } from '../api.ts';

const keyUrl = '/v1/domains/:domain/keys/:key';

export const fileRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/domains/:domain/keys',
    tag: 'files',
    summary: 'List keys in order',
    query: {
      prefix: text('only keys that begin with it'),
      after: text('start behind this key: next_after of the page before'),
      limit: count('1 to 1000, by default 1000'),
    },
    run: async (api, input) => {
      const args = { ...input.query, domain: input.param('domain') };
      const page: JsonFields = await api
        .call('list_keys', args)
        .catch((error: { code?: string }) => {
          // An empty page is an error of the line protocol and an empty list here.
          if (error.code === 'NONE_MATCH') return { key_count: 0, next_after: null };
          throw error;
        });
      const { next_after, key_count } = page;
      // In JSON it would be another key, and the next page the same one or one further on.
      if (String(next_after).includes('\ufffd')) {
        const message =
          'The last key of this page is not UTF-8: list with omgfs ls, or another limit.';
        throw new OmgfsError('BAD_PARAMS', { message });
      }
      return { keys: valuesOf(page, { prefix: 'key_', total: key_count ?? 0 }), next_after };
    },
  },
  {
    method: 'GET',
    url: keyUrl,
    tag: 'files',
    summary: 'What is known of a file',
    run: async (api, input) => {
      const { devids, ...info } = await api.call('file_info', { ...placeOf(input), devices: true });
      return { ...info, devids: numbersOf(devids) };
    },
  },
  {
    method: 'GET',
    url: `${keyUrl}/paths`,
    tag: 'files',
    summary: 'URLs of the replicas, best first',
    query: {
      noverify: flag('do not ask the devices first'),
      pathcount: count('most URLs, at least 2'),
      zone: text('`alt` for alternate addresses'),
    },
    run: async (api, input) => {
      const fields = await api.call('get_paths', { ...input.query, ...placeOf(input) });
      return { paths: valuesOf(fields, { prefix: 'path', total: fields.paths ?? 0 }) };
    },
  },
  {
    method: 'PATCH',
    url: keyUrl,
    tag: 'files',
    summary: 'Rename a file or change its class',
    body: { fields: { key: text('the new key'), class: text('the new class') } },
    status: 204,
    run: async (api, input) => {
      const { key: to_key, class: className } = input.body;
      if (className !== undefined) {
        await api.call('updateclass', { ...placeOf(input), class: className });
      }
      const { domain, key: from_key } = placeOf(input);
      if (to_key !== undefined) await api.call('rename', { domain, from_key, to_key });
    },
  },
  {
    method: 'DELETE',
    url: keyUrl,
    tag: 'files',
    summary: 'Delete a file',
    status: 204,
    run: (api, input) => api.call('delete', placeOf(input)),
  },
  {
    method: 'POST',
    url: '/v1/domains/:domain/uploads',
    tag: 'files',
    summary: 'Open an upload: a fid and places to PUT the bytes to',
    body: {
      fields: {
        key: text('key it is meant for'),
        class: text('class; none for the default one'),
        size: count('bytes to expect'),
      },
    },
    status: 201,
    run: async (api, input) => {
      const args = { ...input.body, domain: input.param('domain'), multi_dest: true };
      const fields = await api.call('create_open', args);
      const total = fields.dev_count ?? 0;
      const paths = valuesOf(fields, { prefix: 'path_', total: total });
      const devids = valuesOf(fields, { prefix: 'devid_', total: total });
      return { fid: fields.fid, places: paths.map((path, at) => ({ devid: devids[at], path })) };
    },
  },
  {
    method: 'POST',
    url: '/v1/domains/:domain/uploads/:fid',
    tag: 'files',
    summary: 'Close an upload: from now on the key stands for its bytes',
    body: {
      fields: {
        key: text('the key; an empty one gives the upload up'),
        devid: count('device that holds the bytes'),
        path: text('URL they were PUT to'),
        size: count('bytes that were sent; 0 for unknown'),
        checksum: text('MD5:<hex> or SHA-1:<hex>'),
        checksumverify: flag('read the stored bytes and compare'),
      },
      required: ['devid', 'path'],
    },
    status: 204,
    run: (api, input) =>
      api.call('create_close', {
        ...input.body,
        domain: input.param('domain'),
        fid: input.param('fid'),
      }),
  },
  {
    method: 'GET',
    url: '/v1/fids',
    tag: 'files',
    summary: 'Files in the order of their fids',
    query: { from: count('start behind this fid'), limit: count('1 to 500, by default 100') },
    run: async (api, { query }) => {
      const fields = await api.call('list_fids', { from: query.from, to: query.limit });
      return listOf(fields, { prefix: 'fid_', total: fields.fid_count ?? 0 });
    },
  },
  {
    method: 'GET',
    url: '/v1/fids/:fid',
    tag: 'files',
    summary: 'Every row about a fid',
    run: (api, input) => api.call('file_debug', { fid: input.param('fid') }),
  },
];

function placeOf(input: Input): { domain: string; key: string } {
  return { domain: input.param('domain'), key: input.param('key') };
}

function numbersOf(list: unknown): number[] {
  return list === null || list === '' ? [] : String(list).split(',').map(Number);
}
