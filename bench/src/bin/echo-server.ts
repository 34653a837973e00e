/**
 * The bare limit of a line protocol: a server on node:net that sends each line back, as a process
 * of its own. Framing is the fastest that was measured: a string and a search for its line ends.
 */
import { createServer } from 'node:net';

const server = createServer({ noDelay: true }, (socket) => {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer | string) => {
    text += String(chunk);
    let reply = '';
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      reply += text.slice(from, end + 1);
      from = end + 1;
    }
    text = text.slice(from);
    if (reply !== '') socket.write(reply, 'latin1');
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.(typeof address === 'object' && address !== null ? address.port : 0);
});
// It lives as long as the one who measures.
process.on('disconnect', () => server.close(() => process.disconnect?.()));
