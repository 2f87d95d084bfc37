/** One attempt: a POST on a connection of its own, to an address that was checked, within a time limit. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { onResponse } from '../lib/on-response.ts';

/** Of an answer this much is read, and this much of it kept for the list of deliveries. */
const ANSWER_BYTES_MAX = 64 * 1024;
const ANSWER_TEXT_MAX = 300;

export interface PostAnswer {
  readonly status: number;
  /** Its beginning. */
  readonly text: string;
}

export interface PostOptions {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** undefined: the system's. */
  readonly lookup: LookupFunction | undefined;
  readonly signal: AbortSignal;
}

/**
 * Redirects are answers like any other: following one would connect to an address that nobody chose.
 * @throws when there is no answer: not connected, refused, aborted
 */
export function post(options: PostOptions): Promise<PostAnswer> {
  const { url, body, lookup, signal } = options;
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = start(url, {
      method: 'POST',
      agent: false,
      signal,
      headers: { ...options.headers, 'content-length': Buffer.byteLength(body) },
      ...(lookup === undefined ? {} : { lookup }),
    });
    onResponse(
      request,
      (response) => {
        let text = '';
        let read = 0;
        response.setEncoding('utf8');
        // The status is known: how the rest of the answer fares makes no difference.
        response.on('error', () => undefined);
        response.on('data', (chunk: string) => {
          read += chunk.length;
          if (text.length < ANSWER_TEXT_MAX) text = (text + chunk).slice(0, ANSWER_TEXT_MAX);
          if (read > ANSWER_BYTES_MAX) response.destroy();
        });
        response.once('close', () => {
          resolve({ status: response.statusCode ?? 0, text });
        });
      },
      reject,
    );
    request.end(body);
  });
}
