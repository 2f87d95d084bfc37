/** Answers, without what express adds to them (ETags, settings): these are on the path of every run. */
import type { Response } from 'express';

export function sendJson(response: Response, value: unknown): void {
  sendJsonText(response, JSON.stringify(value));
}

export function sendJsonText(response: Response, text: string): void {
  if (!response.headersSent) {
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', Buffer.byteLength(text));
  }
  response.end(text);
}

/** A stream of events that is over at once. */
export function sendEvents(response: Response, frames: string): void {
  response.setHeader('content-type', 'text/event-stream');
  response.setHeader('cache-control', 'no-cache');
  response.end(frames);
}

export function sendEmpty(response: Response, status: 202 | 204): void {
  response.statusCode = status;
  response.end();
}

/** `x-pagination-next` is there only when there is a next page: its offset. */
export function sendPage(
  response: Response,
  rows: readonly unknown[],
  page: { offset: number; total: number },
): void {
  const next = page.offset + rows.length;
  response.setHeader('x-pagination-total', String(page.total));
  if (rows.length > 0 && next < page.total) response.setHeader('x-pagination-next', String(next));
  sendJson(response, rows);
}

/** Only the `select`ed fields, in their order. */
export function pick(row: object, select: readonly string[] | undefined): object {
  if (select === undefined) return row;
  const entries = new Map(Object.entries(row));
  return Object.fromEntries(
    select.filter((field) => entries.has(field)).map((field) => [field, entries.get(field)]),
  );
}
