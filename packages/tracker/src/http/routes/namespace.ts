/** Domains and their classes. */
import { listOf } from '@omgfs/protocol';
import { type Api, type ApiRoute, count, type JsonFields, text } from '../api.ts';

const classFields = {
  mindevcount: count('copies wanted, 1 to 255'),
  replpolicy: text('replication policy, for example MultipleHosts() or MultipleHosts(3)'),
  hashtype: { type: 'string', enum: ['MD5', 'SHA-1', 'NONE'], description: 'checksum to keep' },
};

export const namespaceRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/domains',
    tag: 'domains',
    summary: 'List domains with their classes',
    run: (api) => domains(api),
  },
  {
    method: 'POST',
    url: '/v1/domains',
    tag: 'domains',
    summary: 'Create a domain',
    body: { fields: { domain: text('its name') }, required: ['domain'] },
    status: 201,
    run: (api, { body }) => api.call('create_domain', body),
  },
  {
    method: 'DELETE',
    url: '/v1/domains/:domain',
    tag: 'domains',
    summary: 'Delete an empty domain',
    status: 204,
    run: (api, input) => api.call('delete_domain', { domain: input.param('domain') }),
  },
  {
    method: 'POST',
    url: '/v1/domains/:domain/classes',
    tag: 'domains',
    summary: 'Create a class',
    body: {
      fields: { class: text('its name'), ...classFields },
      required: ['class', 'mindevcount'],
    },
    status: 201,
    run: (api, input) => api.call('create_class', { ...input.body, domain: input.param('domain') }),
  },
  {
    method: 'PATCH',
    url: '/v1/domains/:domain/classes/:class',
    tag: 'domains',
    summary: 'Change a class; what is not named stays',
    body: { fields: classFields },
    run: async (api, input) => {
      const place = { domain: input.param('domain'), class: input.param('class') };
      // The command wants the number of copies each time (spec §2.2).
      const mindevcount = input.body.mindevcount ?? (await mindevcountOf(api, place));
      return api.call('update_class', { ...input.body, ...place, mindevcount });
    },
  },
  {
    method: 'DELETE',
    url: '/v1/domains/:domain/classes/:class',
    tag: 'domains',
    summary: 'Delete a class that no file uses',
    status: 204,
    run: (api, input) =>
      api.call('delete_class', { domain: input.param('domain'), class: input.param('class') }),
  },
];

interface DomainView {
  domain: string;
  classes: JsonFields[];
}

async function domains(api: Api): Promise<DomainView[]> {
  const fields = await api.call('get_domains');
  return Array.from({ length: Number(fields.domains) }, (_, at) => {
    const prefix = `domain${at + 1}class`;
    const total = fields[`domain${at + 1}classes`] ?? 0;
    return {
      domain: String(fields[`domain${at + 1}`]),
      classes: listOf(fields, { prefix, total, separator: '' }),
    };
  });
}

/** Undefined for what does not exist, which the command then says in its own words. */
async function mindevcountOf(
  api: Api,
  place: { domain: string; class: string },
): Promise<number | undefined> {
  const domain = (await domains(api)).find((candidate) => candidate.domain === place.domain);
  const found = domain?.classes.find(({ name }) => name === place.class);
  return found === undefined ? 1 : Number(found.mindevcount);
}
