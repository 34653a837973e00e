/**
 * What a file is, by the ending of its name: storage nodes do not keep a type, and what a browser
 * says at the upload is up to whoever uploads. Only what is named here is shown by a browser; all
 * else is saved. That goes for SVG and HTML, too, which would run scripts as this site.
 */

export type Kind = 'picture' | 'video' | 'sound' | 'other';

export interface FileKind {
  kind: Kind;
  contentType: string;
  /** Whether a small picture of it can be made. */
  thumbnail: boolean;
}

const kinds: Record<string, FileKind> = {
  avif: { kind: 'picture', contentType: 'image/avif', thumbnail: false },
  gif: { kind: 'picture', contentType: 'image/gif', thumbnail: true },
  jpeg: { kind: 'picture', contentType: 'image/jpeg', thumbnail: true },
  jpg: { kind: 'picture', contentType: 'image/jpeg', thumbnail: true },
  m4a: { kind: 'sound', contentType: 'audio/mp4', thumbnail: false },
  mp3: { kind: 'sound', contentType: 'audio/mpeg', thumbnail: false },
  mp4: { kind: 'video', contentType: 'video/mp4', thumbnail: false },
  ogg: { kind: 'sound', contentType: 'audio/ogg', thumbnail: false },
  png: { kind: 'picture', contentType: 'image/png', thumbnail: true },
  wav: { kind: 'sound', contentType: 'audio/wav', thumbnail: false },
  webm: { kind: 'video', contentType: 'video/webm', thumbnail: false },
  webp: { kind: 'picture', contentType: 'image/webp', thumbnail: false },
};

const unknown: FileKind = {
  kind: 'other',
  contentType: 'application/octet-stream',
  thumbnail: false,
};

export function kindOf(name: string): FileKind {
  const ending = /\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return Object.hasOwn(kinds, ending) ? (kinds[ending] ?? unknown) : unknown;
}
