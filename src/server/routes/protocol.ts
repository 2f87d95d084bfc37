/** Protocol v2 over HTTP (its WebSocket is in v2/sockets.ts), and the stream of a whole thread. */
import { Router } from 'express';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { idempotencyKeyOf } from '../idempotency.ts';
import { sendJson } from '../respond.ts';
import { ThreadPath, ThreadStreamQuery } from '../schemas/thread.ts';
import { answerCommand, COMMAND_EVENTS } from '../v2/commands.ts';
import { protocolView } from '../v2/frames.ts';
import { CommandBody, EventStreamBody } from '../v2/schemas.ts';
import { threadModesView } from '../v2/thread-modes.ts';
import { streamThread } from '../v2/thread-stream.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function protocolRoutes(context: RouteContext): Router {
  const events: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { since, ...filter } = bodyOf(EventStreamBody, request);
    await streamThread(context, request, response, access, {
      threadId,
      view: protocolView(filter),
      since,
    });
  };

  const commands: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { id, method, params } = bodyOf(CommandBody, request);
    // Not the id: it counts the client's commands, and who sends one again may count anew.
    const key = idempotencyKeyOf(request, threadId, access.user, { method, params });
    const command = { id, method, params };
    sendJson(response, await answerCommand(context, access, threadId, command, {}, key));
  };

  const thread: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { stream_mode: modes } = queryOf(ThreadStreamQuery, request);
    const view = threadModesView(modes ?? ['run_modes']);
    await streamThread(context, request, response, access, { threadId, view, since: undefined });
  };

  const router = Router();
  router.post('/threads/:thread_id/stream/events', asks(context, 'threads:read', events));
  router.post('/threads/:thread_id/commands', asks(context, COMMAND_EVENTS, commands));
  router.get('/threads/:thread_id/stream', asks(context, 'threads:read', thread));
  return router;
}
