/** The raw server: node:http, one subscriber connection, a frame encoded once for all who listen; rows by page. */
import http from 'node:http';
import { Redis } from 'ioredis';
import pg from 'pg';
import { END } from './log.mjs';
import { serve } from './serve.mjs';

const { REDIS_URL, DATABASE_URL } = process.env;
const PAGE = 1_000;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 8 });
const listeners = new Map();

function tell(channel, text) {
  const responses = listeners.get(channel);
  if (responses === undefined) return;
  if (text === END) {
    for (const response of responses) response.end();
    return;
  }
  const frame = Buffer.from(text);
  for (const response of responses) response.write(frame);
}

const frameOf = (data, id) => `event: custom\ndata: ${data}\nid: ${id}\n\n`;

const subscriber = REDIS_URL ? new Redis(REDIS_URL) : undefined;
const counts = new Map();
subscriber?.on('message', (channel, message) => {
  if (message === END) {
    tell(channel, END);
    return;
  }
  let text = '';
  let id = counts.get(channel) ?? 0;
  for (const data of message.split('\n')) text += frameOf(data, ++id);
  counts.set(channel, id);
  tell(channel, text);
});

// Without Redis: rows after the last one seen, once for all listeners of the channel.
const looking = new Map();
async function look(channel, end) {
  const state = looking.get(channel) ?? { seq: 0, busy: false, again: false, end: false };
  looking.set(channel, state);
  state.end ||= end;
  state.again = true;
  if (state.busy) return;
  state.busy = true;
  while (state.again) {
    state.again = false;
    const ending = state.end;
    let rows;
    do {
      rows = await page(channel, state.seq);
      state.seq += rows.length;
      if (rows.length > 0) tell(channel, rows.map((r) => frameOf(r.data, r.seq)).join(''));
    } while (rows.length === PAGE);
    if (ending) tell(channel, END);
  }
  state.busy = false;
}

async function page(channel, after) {
  const { rows } = await pool.query({
    name: 'page',
    text: `SELECT seq, data FROM raw_events WHERE thread_id = $1 AND seq > $2 ORDER BY seq LIMIT ${PAGE}`,
    values: [channel, after],
  });
  return rows;
}

async function listen() {
  const client = new pg.Client({ connectionString: DATABASE_URL });
  await client.connect();
  client.on('notification', ({ payload }) => {
    const [channel, end] = payload.split(' ');
    void look(channel, end === END);
  });
  await client.query('LISTEN raw');
}
if (!REDIS_URL) await listen();

const server = http.createServer({ noDelay: true }, async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://raw');
  const channel = searchParams.get('channel');
  const begin = () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
  };
  if (pathname === '/replay') {
    begin();
    let after = Number(searchParams.get('after'));
    for (;;) {
      const rows = await page(channel, after);
      if (rows.length > 0) response.write(rows.map((r) => frameOf(r.data, r.seq)).join(''));
      after += rows.length;
      if (rows.length < PAGE) break;
    }
    response.end();
    return;
  }
  const responses = listeners.get(channel) ?? new Set();
  responses.add(response);
  listeners.set(channel, responses);
  response.once('close', () => responses.delete(response));
  // The headers say: what is published from now on will come.
  await subscriber?.subscribe(channel);
  begin();
});
server.listen(0, '127.0.0.1', () => {
  serve({ port: server.address().port }, {});
});
