/**
 * What the API's document says of one route. The rows are lists by noun beside this file; a test compares them
 * with the routers, so that no route is without a row and no row without a route.
 */
import type { z } from 'zod';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface Operation {
  readonly method: Method;
  /** As express has it: `/threads/:thread_id`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** The schemas that validate the request. */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly headers?: Readonly<Record<string, string>>;
  readonly answer: Answer;
  /** Statuses besides those that every route may answer with. */
  readonly errors?: readonly (keyof typeof ERRORS)[];
}

/** A success: JSON of a shape, or something else. */
export type Answer =
  | { readonly status: 200; readonly type: 'application/json'; readonly schema: z.ZodType }
  | { readonly status: 200; readonly type: string; readonly text: string }
  | { readonly status: 202 | 204 | 404; readonly text: string };

export const ERRORS = {
  401: 'Nobody is authenticated',
  403: 'Not allowed',
  404: 'Not found',
  409: 'It is there already, or busy',
  410: 'The position is no longer in the log',
  422: 'Not possible as asked',
} as const;

export interface Noun {
  readonly tag: string;
  readonly description: string;
  readonly operations: readonly Operation[];
}

export const json = (schema: z.ZodType): Answer => ({
  status: 200,
  type: 'application/json',
  schema,
});
export const EMPTY: Answer = { status: 204, text: 'Done' };
export const ACCEPTED: Answer = { status: 202, text: 'Accepted; not waited for' };
export const EVENTS: Answer = {
  status: 200,
  type: 'text/event-stream',
  text: 'Server-sent events. A comment line every few seconds keeps the connection alive.',
};
