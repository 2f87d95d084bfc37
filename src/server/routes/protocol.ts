/** Protocol v2 over HTTP (its WebSocket is in v2/sockets.ts), and the stream of a whole thread. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import type { RouteContext } from '../context.ts';
import { idempotencyKeyOf } from '../idempotency.ts';
import { sendJson } from '../respond.ts';
import { ThreadPath, ThreadStreamQuery } from '../schemas/thread.ts';
import { answerCommand } from '../v2/commands.ts';
import { protocolView } from '../v2/frames.ts';
import { CommandBody, EventStreamBody } from '../v2/schemas.ts';
import { threadModesView } from '../v2/thread-modes.ts';
import { streamThread } from '../v2/thread-stream.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function protocolRoutes(context: RouteContext): Router {
  const events: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { since, ...filter } = bodyOf(EventStreamBody, request);
    await streamThread(context, request, response, { threadId, view: protocolView(filter), since });
  };

  const commands: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { id, method, params } = bodyOf(CommandBody, request);
    // Not the id: it counts the client's commands, and who sends one again may count anew.
    const key = idempotencyKeyOf(request, threadId, { method, params });
    sendJson(response, await answerCommand(context, threadId, { id, method, params }, {}, key));
  };

  const thread: RequestHandler = async (request, response) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { stream_mode: modes } = queryOf(ThreadStreamQuery, request);
    const view = threadModesView(modes ?? ['run_modes']);
    await streamThread(context, request, response, { threadId, view, since: undefined });
  };

  const router = Router();
  router.post('/threads/:thread_id/stream/events', events);
  router.post('/threads/:thread_id/commands', commands);
  router.get('/threads/:thread_id/stream', thread);
  return router;
}
