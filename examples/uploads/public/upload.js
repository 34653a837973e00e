/**
 * Uploads the files of the form one by one, each with its own progress. Without this script the
 * browser sends the form by itself.
 */
const form = document.querySelector('#upload');
form?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  const list = form.querySelector('#progress');
  const bytesMax = Number(form.dataset.fileBytesMax);
  button.disabled = true;
  list.replaceChildren();
  let failures = 0;
  for (const file of form.querySelector('input[type=file]').files) {
    const row = addRow(list, file.name);
    try {
      // Said before anything is sent: a server that refuses half-way is hard to hear.
      if (file.size > bytesMax) throw new Error(`is larger than ${bytesMax} bytes, the limit.`);
      await send(form, file, (share) => row.show(share));
      row.finish('stored');
    } catch (error) {
      failures += 1;
      row.fail(error.message);
    }
  }
  button.disabled = false;
  if (failures === 0) location.assign('/');
});

function send(form, file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', form.action);
    request.setRequestHeader('Accept', 'application/json');
    request.responseType = 'json';
    request.upload.addEventListener('progress', ({ loaded, total }) => onProgress(loaded / total));
    request.addEventListener('load', () => {
      if (request.status === 201) resolve();
      else reject(new Error(request.response?.error ?? `The server answered ${request.status}.`));
    });
    request.addEventListener('error', () => reject(new Error('The connection broke.')));
    const body = new FormData();
    body.append('files', file, file.name);
    request.send(body);
  });
}

function addRow(list, name) {
  const row = document.createElement('li');
  const bar = document.createElement('progress');
  const text = document.createElement('span');
  text.textContent = name;
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute('aria-label', `Upload of ${name}`);
  row.append(text, bar);
  list.append(row);
  return {
    show: (share) => {
      bar.value = share;
    },
    finish: (what) => {
      bar.value = 1;
      text.textContent = `${name}: ${what}`;
    },
    fail: (why) => {
      row.className = 'failed';
      row.setAttribute('role', 'alert');
      text.textContent = `${name}: ${why}`;
      bar.remove();
    },
  };
}
