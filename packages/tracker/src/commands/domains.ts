/** `get_domains`, `create_domain`, `delete_domain` (spec §2.2). */
import { type Fields, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FileClass } from '../placement/model.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Width of `domain.namespace`. */
const domainBytesMax = 255;

export function domainCommands(services: CommandServices): Record<string, Command> {
  const { store, topology, refresh } = services;
  return {
    get_domains: () => {
      const fields: ReplyFields = { domains: 0 };
      let count = 0;
      for (const domain of topology.domains()) {
        count += 1;
        fields[`domain${count}`] = domain.name;
        fields[`domain${count}classes`] = domain.classes.size;
        let classCount = 0;
        for (const fileClass of domain.classes.values()) {
          classCount += 1;
          addClass(fields, `domain${count}class${classCount}`, fileClass);
        }
      }
      fields.domains = count;
      return fields;
    },
    create_domain: async ({ args }) => {
      const name = domainName(args);
      if (name.length > domainBytesMax) {
        throw new OmgfsError('NAME_TOO_LONG', { wireText: 'failed to make domain' });
      }
      await store.createDomain(name);
      await refresh();
      return { domain: name };
    },
    delete_domain: async ({ args }) => {
      const name = domainName(args);
      const domain = topology.domain(name);
      if (domain === undefined) throw new OmgfsError('DOMAIN_NOT_FOUND');
      await store.deleteDomain(domain.dmid);
      await refresh();
      return { domain: name };
    },
  };
}

function domainName(args: Fields): string {
  const name = args.domain;
  if (name === undefined || name === '') throw new OmgfsError('NO_DOMAIN');
  return name;
}

function addClass(fields: ReplyFields, prefix: string, fileClass: FileClass): void {
  fields[`${prefix}name`] = fileClass.name;
  fields[`${prefix}mindevcount`] = fileClass.mindevcount;
  fields[`${prefix}replpolicy`] = fileClass.replpolicy || 'MultipleHosts()';
  fields[`${prefix}hashtype`] = fileClass.hashtype ?? 'NONE';
}
