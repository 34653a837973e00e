/**
 * Loads a module of the load tool by its path. The tool is not among the references of the tests'
 * TypeScript project, so the caller says what shape it expects and the test proves it.
 */

export function loadBench<Shape>(path: string): Promise<Shape> {
  const url = new URL(`../../bench/src/${path}`, import.meta.url);
  return import(url.href) as Promise<Shape>;
}
