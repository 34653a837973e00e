/** How much of the WebDAV share there is. */
export type DavMode = 'off' | 'readonly' | 'full';

export const davModes: readonly DavMode[] = ['off', 'readonly', 'full'];
