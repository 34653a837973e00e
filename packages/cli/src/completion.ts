/** `omgfs completion`: scripts by which shells complete commands and options, from the help. */
import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** Every command by its words, `admin host add`, with what may follow. */
interface Entry {
  words: string[];
  next: string[];
  options: string[];
}

export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program, []);
  if (shell === 'fish') return fish(entries);
  const bash = bashFunction(entries);
  return shell === 'bash'
    ? `${bash}complete -o default -F _omgfs omgfs\n`
    : `autoload -U +X bashcompinit && bashcompinit\n${bash}complete -o default -F _omgfs omgfs\n`;
}

function entriesOf(command: Command, words: string[]): Entry[] {
  const next = command.commands.map((one) => one.name());
  const options = command.options.flatMap((one) => one.long ?? []);
  const below = command.commands.flatMap((one) => entriesOf(one, [...words, one.name()]));
  return [{ words, next, options: [...options, '--help'] }, ...below];
}

function bashFunction(entries: readonly Entry[]): string {
  const cases = entries.map(({ words, next, options }) => {
    return `    "${words.join(' ')}") words="${[...next, ...options].join(' ')}" ;;`;
  });
  return `_omgfs() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
`;
}

function fish(entries: readonly Entry[]): string {
  const lines = entries.flatMap(({ words, next, options }) => {
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const condition = words.length === 0 ? '__fish_use_subcommand' : seen;
    return [
      ...next.map((word) => `complete -c omgfs -f -n '${condition}' -a ${word}`),
      ...options.map((long) => `complete -c omgfs -n '${condition}' -l ${long.slice(2)}`),
    ];
  });
  return `${lines.join('\n')}\n`;
}
