/** A thread's states: the latest, an earlier one, a subgraph's; their history; changing one by hand. */
import { Router } from 'express';
import type { Graph, HistoryQuery, ThreadState } from '../../graphs/port.ts';
import { ThreadBusyError } from '../../runs/run.ts';
import { readThread, updateThread } from '../../threads/thread.ts';
import type { ThreadRow } from '../../threads/thread.ts';
import type { Access } from '../../auth/gate.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { InputInvalidError } from '../problem.ts';
import { sendJson } from '../respond.ts';
import {
  CheckpointPath,
  HistoryBody,
  HistoryQueryString,
  StateAtCheckpoint,
  StatePatchBody,
  StateQueryString,
  StateUpdateBody,
  ThreadPath,
} from '../schemas/thread.ts';
import { queryAt, refused, showCurrentState } from '../state-query.ts';
import { selectOfState } from '../state-select.ts';
import type { CheckpointRef } from '../state-query.ts';
import { threadView } from '../thread-view.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function stateRoutes(context: RouteContext): Router {
  const { pool, graphs, guard } = context;

  /** The thread's graph; undefined while no run has bound one. */
  async function graphOf(thread: ThreadRow): Promise<Graph | undefined> {
    const graphId = thread.metadata['graph_id'];
    return typeof graphId === 'string' ? graphs.get(graphId) : undefined;
  }

  async function readState(
    access: Access,
    threadId: string,
    at: CheckpointRef,
    subgraphs: boolean,
  ): Promise<ThreadState> {
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    const thread = await readThread(pool, threadId, visible);
    const graph = await graphOf(thread);
    if (graph === undefined) return emptyState(threadId, at);
    return graph.getState({ ...queryAt(thread, at, access.user), subgraphs });
  }

  const latest: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { subgraphs, select } = queryOf(StateQueryString, request);
    const state = await guard.watch(readState(access, threadId, {}, subgraphs));
    sendJson(response, selectOfState(state, select));
  };

  const atCheckpoint: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId, checkpoint_id } = pathOf(CheckpointPath, request);
    const { subgraphs, select } = queryOf(StateQueryString, request);
    const state = await guard.watch(readState(access, threadId, { checkpoint_id }, subgraphs));
    sendJson(response, selectOfState(state, select));
  };

  const atCheckpointOfBody: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { checkpoint, subgraphs, select } = bodyOf(StateAtCheckpoint, request);
    const state = await guard.watch(readState(access, threadId, checkpoint, subgraphs ?? false));
    sendJson(response, selectOfState(state, select));
  };

  const update: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const body = bodyOf(StateUpdateBody, request);
    const at = {
      ...body.checkpoint,
      checkpoint_id: body.checkpoint_id ?? body.checkpoint?.checkpoint_id,
    };
    const { visible } = await access.ask('threads:update', { thread_id: threadId });
    const thread = await guard.watch(readThread(pool, threadId, visible));
    if (thread.active_runs > 0) throw new ThreadBusyError('Thread is busy');
    const graph = await guard.watch(graphOf(thread));
    if (graph === undefined) throw new InputInvalidError(`Thread ${threadId} has no graph ID`);
    const query = queryAt(thread, at, access.user);
    const checkpoint = await guard.watch(
      graph
        .updateState({
          ...query,
          values: body.values ?? null,
          ...(body.as_node == null ? {} : { asNode: body.as_node }),
        })
        .catch(refused),
    );
    await guard.watch(showCurrentState(pool, graph, queryAt(thread, {}, access.user)));
    sendJson(response, { checkpoint });
  };

  const patch: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { metadata } = bodyOf(StatePatchBody, request);
    const { visible, value } = await access.ask('threads:update', {
      thread_id: threadId,
      metadata,
    });
    const row = await guard.watch(updateThread(pool, threadId, visible, value.metadata));
    sendJson(response, threadView(row));
  };

  async function readHistory(
    access: Access,
    threadId: string,
    at: CheckpointRef,
    options: Pick<HistoryQuery, 'limit' | 'before' | 'metadata'>,
  ): Promise<ThreadState[]> {
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    const thread = await readThread(pool, threadId, visible);
    const graph = await graphOf(thread);
    if (graph === undefined) return [];
    return graph.getHistory({ ...queryAt(thread, at, access.user), ...options, subgraphs: false });
  }

  const history: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const { limit, before } = queryOf(HistoryQueryString, request);
    const options = { limit, ...(before === undefined ? {} : { before: beforeOf(before) }) };
    sendJson(response, await guard.watch(readHistory(access, threadId, {}, options)));
  };

  const historyOfBody: AskingHandler = async (request, response, access) => {
    const { thread_id: threadId } = pathOf(ThreadPath, request);
    const body = bodyOf(HistoryBody, request);
    const options = {
      limit: body.limit,
      ...(body.before == null ? {} : { before: beforeOf(body.before) }),
      ...(body.metadata == null ? {} : { metadata: body.metadata }),
    };
    const states = await guard.watch(readHistory(access, threadId, body.checkpoint ?? {}, options));
    sendJson(
      response,
      states.map((state) => selectOfState(state, body.select)),
    );
  };

  const router = Router();
  router.get('/threads/:thread_id/state', asks(context, 'threads:read', latest));
  router.post('/threads/:thread_id/state', asks(context, 'threads:update', update));
  router.patch('/threads/:thread_id/state', asks(context, 'threads:update', patch));
  router.post(
    '/threads/:thread_id/state/checkpoint',
    asks(context, 'threads:read', atCheckpointOfBody),
  );
  router.get(
    '/threads/:thread_id/state/:checkpoint_id',
    asks(context, 'threads:read', atCheckpoint),
  );
  router.get('/threads/:thread_id/history', asks(context, 'threads:read', history));
  router.post('/threads/:thread_id/history', asks(context, 'threads:read', historyOfBody));
  return router;
}

/** The id of a checkpoint, the checkpoint, or a config that names it. */
function beforeOf(before: string | Record<string, unknown>): Record<string, unknown> {
  if (typeof before === 'string') return { configurable: { checkpoint_id: before } };
  return 'configurable' in before ? before : { configurable: before };
}

function emptyState(threadId: string, at: CheckpointRef): ThreadState {
  return {
    values: {},
    next: [],
    tasks: [],
    metadata: {},
    created_at: null,
    checkpoint:
      at.checkpoint_id == null
        ? null
        : {
            thread_id: threadId,
            checkpoint_id: at.checkpoint_id,
            checkpoint_ns: at.checkpoint_ns ?? '',
            checkpoint_map: at.checkpoint_map ?? null,
          },
    parent_checkpoint: null,
  };
}
