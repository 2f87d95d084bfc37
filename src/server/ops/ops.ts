/**
 * /ops, for the people who run the system: Bull Board on the run queue. It is read-only unless asked for
 * otherwise, because the queue carries wake-ups only: to stop a run there is the API.
 */
import { createBullBoard } from '@bull-board/api';
import { ExpressAdapter } from '@bull-board/express';
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { QueueBoard } from '../../queue/board.ts';
import { findThreadOfRun } from '../../runs/find.ts';
import type { RouteContext } from '../context.ts';
import { sendText } from '../problem.ts';
import { pathOf } from '../routes/request.ts';
import { opsAccess } from './access.ts';

export const OPS_PATH = '/ops';
const RunPath = z.object({ run_id: z.guid() });

export function opsRoutes(context: RouteContext): Router {
  const { config, guard, pool, board } = context;
  const router = Router();
  router.use(
    opsAccess({
      user: config.OPS_USER,
      password: config.OPS_PASSWORD,
      development: config.development,
    }),
  );
  /** A run's page needs its thread, which a job does not know. */
  router.get('/runs/:run_id', async (request, response) => {
    const { run_id: runId } = pathOf(RunPath, request);
    const threadId = await guard.watch(findThreadOfRun(pool, runId));
    response.redirect(302, `/threads/${threadId}/runs/${runId}`);
  });
  router.use(board === undefined ? noBoard : boardApp(board, config));
  return router;
}

const noBoard: RequestHandler = (_request, response) => {
  sendText(
    response,
    404,
    'There is no Bull Board: the run queue of this deployment is not BullMQ (QUEUE_BACKEND, REDIS_URL). GET /metrics tells of the queue, whatever it is made of.',
  );
};

function boardApp(
  board: QueueBoard,
  { OPS_READ_ONLY }: { OPS_READ_ONLY: boolean },
): RequestHandler {
  let app: RequestHandler | undefined;
  /** Made at the first request: it opens a connection and reads templates. */
  function made(): RequestHandler {
    const adapter = new ExpressAdapter();
    adapter.setBasePath(OPS_PATH);
    createBullBoard({
      queues: board.adapters({
        readOnly: OPS_READ_ONLY,
        runHref: (runId) => `${OPS_PATH}/runs/${runId}`,
      }),
      serverAdapter: adapter,
      options: { uiConfig: { boardTitle: 'Millrace' } },
    });
    return adapter.getRouter() as RequestHandler;
  }
  return (request, response, next) => {
    // The page asks for web fonts from elsewhere, which would tell others who operates what.
    response.setHeader(
      'content-security-policy',
      "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    );
    (app ??= made())(request, response, next);
  };
}
