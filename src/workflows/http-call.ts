/**
 * One request of a data source or webhook node. A document says where it goes, so the rules of webhooks count:
 * only public addresses unless the operator allows more, the address that was checked is the one connected to,
 * and no redirects.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { AppError } from '../errors.ts';
import { onResponse } from '../lib/on-response.ts';
import type { AddressGuard } from '../webhooks/addresses.ts';
import type { Secrets } from './secrets.ts';
import { PLACE_AT_START, renderText, textOf } from './template.ts';
import type { Lookup } from './template.ts';

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Of a refusal this much is told. */
const REASON_LENGTH_MAX = 300;

export class HttpCallError extends AppError {
  readonly code = 'node_failed';
}

export interface HttpCall {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** undefined: none. */
  readonly body: unknown;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Some servers answer with what they were sent. */
  readonly secrets: Pick<Secrets, 'scrub'>;
}

export interface HttpAnswer {
  readonly status: number;
  /** Parsed when it is JSON. */
  readonly body: unknown;
}

/** A segment that means this folder or the one above, as URLs have it. */
const DOTS = /^(?:\.|%2e){1,2}$/i;

/**
 * Values are encoded, except one that the URL begins with.
 * @throws {HttpCallError} when a value would lead to another path
 */
export function renderUrl(template: string, lookup: Lookup): string {
  const [first = ''] = PLACE_AT_START.exec(template) ?? [];
  const encoded: Lookup = (place) => encodeURIComponent(textOf(lookup(place)));
  const rest = template.slice(first.length);
  // Dots are not encoded, and would not count as such if they were.
  for (const segment of (/^[^?#]*/.exec(rest)?.[0] ?? '').split(/[/\\]/)) {
    const value = renderText(segment, encoded);
    if (value !== segment && DOTS.test(value))
      throw new HttpCallError(`url: expected a name for ${segment}, found "${value}"`);
  }
  return renderText(first, lookup) + renderText(rest, encoded);
}

/**
 * @returns the answer without secrets
 * @throws {HttpCallError} when there is no answer, or one of 300 and above
 */
export async function callHttp(guard: AddressGuard, call: HttpCall): Promise<HttpAnswer> {
  const url = URL.canParse(call.url) ? new URL(call.url) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new HttpCallError(
      `url: expected one that begins with http:// or https://, found ${call.url}`,
    );
  if (url.username !== '' || url.password !== '')
    throw new HttpCallError('url: expected no user and password in it: use a header with a secret');
  guard.check(url);
  // It takes whole numbers only, and 1.005 s are 1004.9999999999999 ms.
  const limit = AbortSignal.timeout(Math.ceil(call.timeoutMs));
  const raw = await exchange(guard, url, call, AbortSignal.any([call.signal, limit])).catch(
    (error: unknown) => {
      call.signal.throwIfAborted();
      if (error instanceof AppError) throw error;
      const reason = limit.aborted
        ? `no answer within ${call.timeoutMs / 1_000} s`
        : error instanceof Error
          ? error.message
          : String(error);
      throw new HttpCallError(`${url.host}: ${reason}`);
    },
  );
  // Before it is escaped or cut: what is left of a secret then is not known again.
  const answer = call.secrets.scrub(raw);
  if (answer.status >= 300)
    throw new HttpCallError(
      `${url.host} answered ${answer.status}: ${textOf(answer.body).slice(0, REASON_LENGTH_MAX)}`,
    );
  return answer;
}

function exchange(
  guard: AddressGuard,
  url: URL,
  { method, headers, body }: HttpCall,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const text =
    body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = start(url, {
      method,
      agent: false,
      lookup: guard.lookup,
      signal,
      headers: {
        'user-agent': 'millrace-workflow',
        accept: 'application/json, */*',
        ...(text === undefined
          ? {}
          : {
              'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
              'content-length': Buffer.byteLength(text),
            }),
        ...headers,
      },
    });
    onResponse(
      request,
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX)
            response.destroy(new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`));
          else chunks.push(chunk);
        });
        response.once('error', reject);
        response.once('end', () => {
          const whole = Buffer.concat(chunks).toString('utf8');
          resolve({ status: response.statusCode ?? 0, body: parsed(whole) });
        });
      },
      reject,
    );
    request.end(text);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
