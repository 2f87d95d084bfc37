/** Everything that makes a run: in the background, with its stream, with its end; on a thread or without one. */
import { Router } from 'express';
import type { Request, RequestHandler, Response } from 'express';
import type { RunRow } from '../../runs/run.ts';
import type { SubmittedOnce } from '../../runs/submit-once.ts';
import type { RouteContext } from '../context.ts';
import { viewOf } from '../frames.ts';
import { submitAsked } from '../idempotency.ts';
import { sendJson } from '../respond.ts';
import { newRunOf } from '../run-request.ts';
import { streamRun } from '../run-stream.ts';
import { runView } from '../run-view.ts';
import { answerWithEnd } from '../run-wait.ts';
import { RunBatch, RunCreate } from '../schemas/run.ts';
import { ThreadPath } from '../schemas/thread.ts';
import { bodyOf, pathOf } from './request.ts';

type Answer = (
  run: RunRow,
  body: RunCreate,
  response: Response,
  place: { content: string; stream: string },
  replayed: boolean,
) => void | Promise<void>;

export function createRunRoutes(context: RouteContext): Router {
  const { pool, submit, guard, metrics } = context;

  const accept = (
    body: RunCreate,
    threadId: string | undefined,
    request: Request,
    response: Response,
  ): Promise<SubmittedOnce> => {
    const submitted = metrics.stageSeconds.startTimer({ stage: 'submit' });
    return guard.watch(
      newRunOf(pool, body, threadId, request.headers)
        .then((newRun) => submitAsked(submit, request, response, threadId, [newRun]))
        .finally(submitted),
    );
  };

  const creates =
    (answer: Answer): RequestHandler =>
    async (request, response) => {
      const threadId =
        'thread_id' in request.params ? pathOf(ThreadPath, request).thread_id : undefined;
      const body = bodyOf(RunCreate, request);
      const { runs, replayed } = await accept(body, threadId, request, response);
      const run = runs[0] as RunRow;
      const prefix = threadId === undefined ? '' : `/threads/${threadId}`;
      const content = `${prefix}/runs/${run.run_id}`;
      await answer(run, body, response, { content, stream: `${content}/stream` }, replayed);
    };

  const inBackground = creates((run, _body, response, place) => {
    response.setHeader('content-location', place.content);
    sendJson(response, runView(run));
  });

  const withStream = creates((run, body, response, place) => {
    const cancelOnDisconnect = body.on_disconnect === 'cancel';
    streamRun(context, response, {
      runId: run.run_id,
      position: {
        threadId: run.thread_id,
        // It may have begun, when the request was sent before.
        runFirst: run.first_seq ?? undefined,
        after: undefined,
        rewound: false,
      },
      view: viewOf(undefined),
      cancelOnDisconnect,
      headers: {
        'content-location': place.content,
        // Where a client comes back to when the connection breaks.
        location: cancelOnDisconnect ? `${place.stream}?cancel_on_disconnect=1` : place.stream,
      },
    });
  });

  const withEnd = creates(async (run, body, response, place, replayed) => {
    response.setHeader('content-location', place.content);
    await answerWithEnd(context, response, {
      threadId: run.thread_id,
      runId: run.run_id,
      mayHaveEnded: replayed,
      cancelOnDisconnect: body.on_disconnect === 'cancel',
    });
  });

  const batch: RequestHandler = async (request, response) => {
    const bodies = bodyOf(RunBatch, request);
    // All assistants are found before the first run is made.
    const newRuns = await guard.watch(
      Promise.all(bodies.map((body) => newRunOf(pool, body, undefined, request.headers))),
    );
    const { runs } = await guard.watch(submitAsked(submit, request, response, undefined, newRuns));
    sendJson(response, runs.map(runView));
  };

  const router = Router();
  for (const prefix of ['', '/threads/:thread_id']) {
    router.post(`${prefix}/runs`, inBackground);
    router.post(`${prefix}/runs/stream`, withStream);
    router.post(`${prefix}/runs/wait`, withEnd);
  }
  router.post('/runs/batch', batch);
  return router;
}
