/** What the lines of SHOW GRANTS allow in one database. Pure. Roles are not followed. */

/** Whether any grant allows CREATE on all tables of the database. */
export function mayCreate(grants: readonly string[], database: string): boolean {
  return grants.some((grant) => {
    const [, rights = '', scope = ''] = /^GRANT (.+?) ON (.+)\.\* TO /.exec(grant) ?? [];
    const allows = rights.split(', ').some((right) => /^(?:ALL PRIVILEGES|CREATE)$/.test(right));
    return allows && (scope === '*' || matches(scope.replace(/^`|`$/g, ''), database));
  });
}

/** In a grant, % and _ stand for other characters, unless after a backslash. */
function matches(pattern: string, database: string): boolean {
  const source = pattern.replaceAll(/\\.|[^\w]|_/g, (part) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    return `\\x${(part.at(-1) ?? '').charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return new RegExp(`^${source}$`, 's').test(database);
}
