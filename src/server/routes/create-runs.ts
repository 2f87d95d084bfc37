/** Everything that makes a run: in the background, with its stream, with its end; on a thread or without one. */
import { Router } from 'express';
import type { Request, Response } from 'express';
import type { RunRow } from '../../runs/run.ts';
import type { SubmittedOnce } from '../../runs/submit-once.ts';
import type { Access } from '../../auth/gate.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { viewOf } from '../frames.ts';
import { submitAsked } from '../idempotency.ts';
import { refuseWithoutLangSmith } from '../langsmith-fields.ts';
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
    access: Access,
  ): Promise<SubmittedOnce> => {
    const submitted = metrics.stageSeconds.startTimer({ stage: 'submit' });
    return guard.watch(
      newRunOf(pool, body, threadId, request.headers, access, context.assistants)
        .then((newRun) => submitAsked(submit, request, response, threadId, [newRun], access))
        .finally(submitted),
    );
  };

  const creates =
    (answer: Answer): AskingHandler =>
    async (request, response, access) => {
      const threadId =
        'thread_id' in request.params ? pathOf(ThreadPath, request).thread_id : undefined;
      const body = bodyOf(RunCreate, request);
      refuseWithoutLangSmith(context.config.langSmith, body);
      const { runs, replayed } = await accept(body, threadId, request, response, access);
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

  const batch: AskingHandler = async (request, response, access) => {
    const bodies = bodyOf(RunBatch, request);
    for (const body of bodies) refuseWithoutLangSmith(context.config.langSmith, body);
    // All assistants are found before the first run is made.
    const newRuns = await guard.watch(
      Promise.all(
        bodies.map((body) =>
          newRunOf(pool, body, undefined, request.headers, access, context.assistants),
        ),
      ),
    );
    const { runs } = await guard.watch(
      submitAsked(submit, request, response, undefined, newRuns, access),
    );
    sendJson(response, runs.map(runView));
  };

  const router = Router();
  // Which assistant is to run is asked, too.
  const events = ['threads:create_run', 'assistants:read'] as const;
  for (const prefix of ['', '/threads/:thread_id']) {
    router.post(`${prefix}/runs`, asks(context, events, inBackground));
    router.post(`${prefix}/runs/stream`, asks(context, events, withStream));
    router.post(`${prefix}/runs/wait`, asks(context, events, withEnd));
  }
  router.post('/runs/batch', asks(context, events, batch));
  return router;
}
