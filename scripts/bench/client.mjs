/**
 * The load: HTTP with node:http (fetch costs several times more and would be what is measured), and event
 * streams that check the counter in each payload.
 */
import http from 'node:http';
import { nowUs } from './clock.mjs';

/** Nothing from a stream for so long: it hangs. */
const SILENCE_MS_MAX = 60_000;

export function createClient(url) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, scheduling: 'fifo' });

  function send(method, path, body, headers = {}) {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const request = http.request(`${url}${path}`, {
      method,
      agent,
      headers: {
        ...(payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': payload.length }),
        ...headers,
      },
    });
    request.end(payload);
    return new Promise((resolve, reject) => {
      request.once('error', reject);
      request.once('response', (response) => resolve({ request, response }));
    });
  }

  async function text(response) {
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  return {
    url,
    /** @returns the parsed body @throws when the status is not 2xx */
    async json(method, path, body) {
      const { response } = await send(method, path, body);
      const answer = await text(response);
      if (response.statusCode >= 300)
        throw new Error(`${method} ${path}: ${response.statusCode} ${answer.slice(0, 300)}`);
      return answer === '' ? undefined : JSON.parse(answer);
    },
    /**
     * Opens an event stream whose custom events carry {"n":…,"t":…}.
     * @param expect {from, count}: what must come, in order, before the orderly end
     */
    async stream(method, path, { body, lastEventId, expect, latencies = false }) {
      const headers = lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) };
      const startUs = nowUs();
      const { request, response } = await send(method, path, body, headers);
      if (response.statusCode >= 300)
        throw new Error(
          `${method} ${path}: ${response.statusCode} ${(await text(response)).slice(0, 300)}`,
        );
      return readStream(request, response, { startUs, expect, latencies, path });
    },
    close: () => agent.destroy(),
  };
}

const COUNTER = '"n":';
const STAMP = '"t":';

function readStream(request, response, { startUs, expect, latencies, path }) {
  const stream = {
    startUs,
    contentLocation: response.headers['content-location'],
    /** Events with a counter so far. */
    count: 0,
    firstUs: undefined,
    lastUs: undefined,
    endUs: undefined,
    /** ms from emit to here, one an event. */
    latencies: latencies ? [] : undefined,
    close() {
      closed = true;
      request.destroy();
    },
    /** Settles with the stream when it has ended in order and all that was expected came. */
    done: undefined,
    /** Settles when `count` events have come. */
    reached(count) {
      if (stream.count >= count) return Promise.resolve();
      return new Promise((resolve, reject) => waiting.push({ count, resolve, reject }));
    },
  };
  const waiting = [];
  let next = expect?.from ?? 0;
  let carry = '';
  let closed = false;
  let failure;

  // A parser for one purpose: three string searches an event, so that it is never the bottleneck.
  response.setEncoding('latin1');
  response.on('data', (chunk) => {
    const atUs = nowUs();
    const text = carry + chunk;
    let pos = 0;
    for (;;) {
      const key = text.indexOf(COUNTER, pos);
      if (key === -1) break;
      const comma = text.indexOf(',', key);
      const end = comma === -1 ? -1 : text.indexOf(',', comma + 1);
      if (end === -1) break;
      const n = Number(text.slice(key + COUNTER.length, comma));
      if (n !== next) {
        failure ??= new Error(`${path}: event ${n} came where ${next} was expected`);
        request.destroy();
        return;
      }
      next++;
      stream.count++;
      if (latencies) {
        const t = Number(text.slice(comma + 1 + STAMP.length, end));
        stream.latencies.push((atUs - t) / 1_000);
      }
      pos = end;
    }
    if (pos > 0) {
      stream.firstUs ??= atUs;
      stream.lastUs = atUs;
    }
    // What may be the beginning of an event that goes on in the next chunk.
    const rest = text.indexOf(COUNTER, pos);
    carry = text.slice(rest === -1 ? Math.max(pos, text.length - COUNTER.length + 1) : rest);
    while (waiting.length > 0 && waiting[0].count <= stream.count) waiting.shift().resolve();
  });

  const done = new Promise((resolve, reject) => {
    response.once('end', () => {
      stream.endUs = nowUs();
      const missing = expect === undefined ? 0 : expect.from + expect.count - next;
      if (failure === undefined && missing !== 0)
        failure = new Error(`${path}: ended after event ${next - 1}, ${missing} events missing`);
      if (failure === undefined) resolve(stream);
      else reject(failure);
    });
    response.once('close', () => {
      clearInterval(watch);
      if (closed) resolve(stream);
      else reject(failure ?? new Error(`${path}: the stream broke after event ${next - 1}`));
      for (const { reject: fail } of waiting.splice(0))
        fail(failure ?? new Error(`${path}: the stream is over after event ${next - 1}`));
    });
    response.on('error', () => undefined);
    request.on('error', () => undefined);
  });
  let seen = -1;
  // Heartbeats keep a stream of an idle run alive: only a stream that should bring events is watched.
  const watch = setInterval(() => {
    if (expect !== undefined && seen === stream.count && !expect.idle) {
      failure ??= new Error(`${path}: nothing for ${SILENCE_MS_MAX} ms after event ${next - 1}`);
      request.destroy();
    }
    seen = stream.count;
  }, SILENCE_MS_MAX);
  watch.unref();
  done.catch(() => undefined);
  stream.done = done;
  return stream;
}

/** Works through `items` with so many at once. */
export async function inParallel(limit, count, work) {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(limit, count) }, async () => {
      while (next < count) await work(next++);
    }),
  );
}
