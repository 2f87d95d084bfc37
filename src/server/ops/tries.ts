/**
 * Limits the guesses at a password: who was wrong TRIES_MAX times within the window is answered with 429 until it is over,
 * right or not. Only wrong credentials count, so that a board that asks for much is never held up. Kept in this process:
 * N processes allow N times as many. Addresses are forgotten with their window; IPv6 counts by /56.
 */
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import type { Request, Response } from 'express';
import { sendText } from '../problem.ts';

const TRIES_MAX = 10;
const WINDOW_MS = 5 * 60_000;

export interface Tries {
  /** @returns whether it was answered: with 429 and `retry-after` */
  refused(request: Request, response: Response): Promise<boolean>;
  /** The credentials of this request were wrong. */
  wrong(request: Request, response: Response): Promise<void>;
}

/** The address of the connection: what a header claims is anybody's word. */
const keyOf = (request: Request): string => ipKeyGenerator(request.socket.remoteAddress ?? '');

export function createTries(): Tries {
  const limiter = rateLimit({
    windowMs: WINDOW_MS,
    limit: TRIES_MAX,
    keyGenerator: keyOf,
    standardHeaders: false,
    legacyHeaders: false,
    // Its warnings go to the console, and are about headers that are not looked at here.
    validate: false,
    // The answer is its caller's.
    handler: (_request, _response, next) => {
      next();
    },
  });
  return {
    async refused(request, response) {
      const { totalHits = 0, resetTime } = (await limiter.getKey(keyOf(request))) ?? {};
      const leftMs = (resetTime?.getTime() ?? 0) - Date.now();
      if (totalHits < TRIES_MAX || leftMs <= 0) return false;
      response.setHeader('retry-after', String(Math.ceil(leftMs / 1_000)));
      sendText(response, 429, 'Too many wrong passwords, try again later');
      return true;
    },
    async wrong(request, response) {
      await limiter(request, response, () => undefined);
    },
  };
}
