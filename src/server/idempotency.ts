/** The header `Idempotency-Key`: a request that is sent again with it gets the runs of the first one. */
import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import type { Access } from '../auth/gate.ts';
import { EVERYTHING } from '../postgres/visibility.ts';
import type { NewRun } from '../runs/create.ts';
import type { RunRow } from '../runs/run.ts';
import { submitOnce } from '../runs/submit-once.ts';
import type { IdempotencyKey, SubmittedOnce } from '../runs/submit-once.ts';
import { submitRuns } from '../runs/submit.ts';
import type { SubmitDeps } from '../runs/submit.ts';
import { InputInvalidError } from './problem.ts';

const KEY_LENGTH_MAX = 255;
/** Set on the answer to a request that was known. */
const REPLAYED = 'idempotent-replayed';

/**
 * Submits the runs of a request, all or none; once when it has a key.
 * @param threadId what a key is unique in, with the method; undefined: runs without a thread of the client's
 * @throws {InputInvalidError} the key is none
 * @throws what submitOnce throws
 */
export async function submitAsked(
  deps: SubmitDeps,
  request: Request,
  response: Response,
  threadId: string | undefined,
  newRuns: readonly NewRun[],
  { user }: Access,
): Promise<SubmittedOnce> {
  const key = idempotencyKeyOf(request, threadId, user, request.body as unknown);
  if (key === undefined) return { runs: await submitRuns(deps, newRuns), replayed: false };
  const visible = newRuns[0]?.visible ?? EVERYTHING;
  const { runs, replayed } = await submitOnce(deps, newRuns, { ...key, visible });
  if (replayed && !response.headersSent) response.setHeader(REPLAYED, 'true');
  return { runs: runs.map(asCreated), replayed };
}

/** A key as a request has it, before anybody knows what its sender may see. */
export type RequestKey = Omit<IdempotencyKey, 'visible'>;

/**
 * @param user two users' keys are two keys; undefined: no auth is configured
 * @param what a request with the key must be the same in
 * @returns undefined: the request has none
 * @throws {InputInvalidError} the key is none
 */
export function idempotencyKeyOf(
  request: Request,
  threadId: string | undefined,
  user: Access['user'],
  what: unknown,
): RequestKey | undefined {
  const identity = user?.identity;
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key === '' || key.length > KEY_LENGTH_MAX)
    throw new InputInvalidError(
      `Idempotency-Key: expected 1 to ${KEY_LENGTH_MAX} characters, found ${key.length}`,
    );
  return {
    scope: [
      request.method,
      threadId ?? '',
      ...(identity === undefined ? [] : [sha256(identity).toString('base64url')]),
    ].join(' '),
    key,
    bodyHash: sha256(JSON.stringify(what ?? {})),
  };
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Every request is answered like the first: what became of the run since is another question. */
const asCreated = (run: RunRow): RunRow => ({
  ...run,
  status: 'pending',
  updated_at: run.created_at,
});
