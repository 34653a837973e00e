/** The pages of the site as HTML. Everything that somebody wrote is escaped on its way in. */
import type { Item, Page } from './gallery.ts';
import { type Kind, kindOf } from './kinds.ts';

/** Text that is HTML already. */
class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

type Value = string | number | undefined | Html | readonly Html[];

/** Fills a template; values are escaped unless they are HTML. */
function html(parts: TemplateStringsArray, ...values: Value[]): Html {
  const texts = values.map((value) => {
    if (value === undefined) return '';
    if (value instanceof Html) return value.text;
    if (typeof value === 'object') return value.map(({ text }) => text).join('');
    return String(value).replace(/[&<>"']/g, (character) => escapes[character] ?? '');
  });
  return new Html(String.raw({ raw: parts }, ...texts));
}

export function addressOf(folder: 'files' | 'thumbs', { id, name }: Item): string {
  return `/${folder}/${id}/${encodeURIComponent(name)}`;
}

function page(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/style.css">
<script type="module" src="/assets/upload.js"></script>
</head>
<body>
<header><a href="/">Uploads</a></header>
<main>
${body}
</main>
</body>
</html>
`.text;
}

export function galleryPage({ items, next }: Page, limits: { fileBytesMax: number }): string {
  const list =
    items.length === 0
      ? html`<p>Nothing here yet. Upload the first file.</p>`
      : html`<ul class="gallery">${items.map(tile)}</ul>`;
  const older =
    next === undefined
      ? undefined
      : html`<p><a href="/?after=${next}" rel="next">Older files</a></p>`;
  return page(
    'Uploads',
    html`<form id="upload" method="post" action="/upload" enctype="multipart/form-data"
  data-file-bytes-max="${limits.fileBytesMax}">
<label for="files">Files, up to ${sizeText(limits.fileBytesMax)} each</label>
<input id="files" type="file" name="files" multiple required>
<button type="submit">Upload</button>
<ul id="progress" aria-live="polite"></ul>
</form>
<h1>Files</h1>
${list}
${older}`,
  );
}

const signs: Record<Kind, string> = { picture: '🖼', video: '▶', sound: '♪', other: '📄' };

function tile(item: Item): Html {
  const { kind, thumbnail } = kindOf(item.name);
  // The name stands below it, so that the picture says nothing more to a screen reader.
  const face = thumbnail
    ? html`<img src="${addressOf('thumbs', item)}" alt="" loading="lazy">`
    : html`<span class="sign" aria-hidden="true">${signs[kind]}</span>`;
  return html`<li><a href="/view/${item.id}">${face}<span class="name">${item.name}</span></a></li>
`;
}

export function viewPage(item: Item): string {
  const address = addressOf('files', item);
  return page(
    item.name,
    html`<h1>${item.name}</h1>
${shown(item, address)}
<p><a href="${address}" download="${item.name}">Download</a></p>
<form method="post" action="/view/${item.id}/rename">
<label for="name">Name</label>
<input id="name" name="name" value="${item.name}" maxlength="200" required>
<button type="submit">Rename</button>
</form>
<form method="post" action="/view/${item.id}/delete">
<button type="submit" class="danger">Delete</button>
</form>`,
  );
}

function shown({ name }: Item, address: string): Html {
  const { kind } = kindOf(name);
  if (kind === 'picture') return html`<img class="whole" src="${address}" alt="${name}">`;
  if (kind === 'video') {
    return html`<video class="whole" src="${address}" controls preload="metadata"></video>`;
  }
  if (kind === 'sound') return html`<audio src="${address}" controls preload="metadata"></audio>`;
  return html`<p>This kind of file is not shown here.</p>`;
}

export function errorPage(message: string): string {
  return page(
    'Sorry',
    html`<h1>Sorry</h1>
<p role="alert">${message}</p>
<p><a href="/">Back to all files</a></p>`,
  );
}

/** For people: `2 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  while (value >= 1024 && units.length > 1) {
    value /= 1024;
    units.shift();
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[0]}`;
}
