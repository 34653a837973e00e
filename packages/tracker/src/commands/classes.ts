/** `create_class`, `update_class`, `delete_class` (spec §2.2). */
import { type Fields, type HashType, hashTypes, isTrue, OmgfsError } from '@omgfs/protocol';
import type { Domain } from '../placement/model.ts';
import { parsePolicy } from '../placement/policy.ts';
import type { ClassFields } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';
import { integerOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Widths of `class.classname` and `class.mindevcount`. */
const classBytesMax = 50;
const mindevcountMax = 255;

export function classCommands(services: CommandServices): Record<string, Command> {
  const { store, topology, refresh } = services;
  const create = createClass(services);
  const update = updateClass(services);
  return {
    create_class: (request) => (isTrue(request.args.update) ? update(request) : create(request)),
    update_class: update,
    delete_class: async ({ args }) => {
      const name = args.class ?? '';
      if (!isTrue(args.domain)) throw new OmgfsError('NO_DOMAIN');
      if (name === 'default') throw new OmgfsError('NODEL_DEFAULT_CLASS');
      const { dmid, name: domain, classes } = namedDomain(topology, args);
      // A missing name reports the same as an unknown one; tools compare that (spec §2.2).
      const fileClass = classes.get(name);
      if (fileClass === undefined) throw new OmgfsError('CLASS_NOT_FOUND');
      await store.deleteClass({ dmid, classid: fileClass.classid });
      await refresh();
      return { domain, class: name };
    },
  };
}

function createClass({ store, topology, refresh }: CommandServices): Command {
  return async ({ args }) => {
    const { name, fields } = checkedClass(args);
    const { dmid, name: domain } = namedDomain(topology, args);
    await store.createClass({ ...fields, dmid, name });
    await refresh();
    return { class: name, mindevcount: args.mindevcount, domain };
  };
}

function updateClass({ store, topology, refresh }: CommandServices): Command {
  return async ({ args }) => {
    const { name, fields } = checkedClass(args);
    const { dmid, name: domain, classes } = namedDomain(topology, args);
    const fileClass = classes.get(name);
    if (fileClass === undefined) throw new OmgfsError('CLASS_NOT_FOUND');
    await store.updateClass({ ...fields, dmid, classid: fileClass.classid });
    await refresh();
    return { class: name, mindevcount: args.mindevcount, domain };
  };
}

/** The checks of both commands, in the order that clients observe. */
function checkedClass(args: Fields): { name: string; fields: ClassFields } {
  if (!isTrue(args.domain)) throw new OmgfsError('NO_DOMAIN');
  const name = args.class;
  if (name === undefined || !isTrue(name)) throw new OmgfsError('NO_CLASS');
  const mindevcount = integerOf(args.mindevcount);
  if (mindevcount < 1) throw new OmgfsError('INVALID_MINDEVCOUNT');
  if (mindevcount > mindevcountMax) {
    // On the wire a `failure` as in the original, whose database refuses it.
    const message = `mindevcount ${mindevcount} is above ${mindevcountMax}`;
    throw new OmgfsError('BAD_REQUEST', { message, wireText: message });
  }
  if (name.length > classBytesMax) throw new OmgfsError('NAME_TOO_LONG');
  const fields: ClassFields = { mindevcount };
  if (isTrue(args.replpolicy)) fields.replpolicy = checkedPolicy(args.replpolicy ?? '');
  const hashtype = checkedHashType(args.hashtype);
  if (hashtype !== undefined) fields.hashtype = hashtype;
  return { name, fields };
}

/** @throws INVALID_REPLPOLICY when it does not parse or no such policy is installed. */
function checkedPolicy(text: string): string {
  const policy = parsePolicy(text);
  if (policy.known) return text;
  throw new OmgfsError('INVALID_REPLPOLICY', { wireText: policy.reason });
}

/** null for NONE, undefined when not mentioned. @throws INVALID_HASHTYPE. */
function checkedHashType(text: string | undefined): HashType | null | undefined {
  if (!isTrue(text)) return undefined;
  if (text === 'NONE') return null;
  const type = (Object.keys(hashTypes) as HashType[]).find((name) => name === text);
  if (type === undefined) throw new OmgfsError('INVALID_HASHTYPE');
  return type;
}

/** Administration reports an unknown domain with another code than the file commands. */
function namedDomain(topology: Topology, args: Fields): Domain {
  const domain = topology.domain(args.domain ?? '');
  if (domain === undefined) throw new OmgfsError('DOMAIN_NOT_FOUND');
  return domain;
}
