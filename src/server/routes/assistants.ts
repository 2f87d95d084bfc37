/** Assistants and what their graphs look like. `:assistant_id` may be a graph's id everywhere. */
import { Router } from 'express';
import type { Request, RequestHandler } from 'express';
import {
  AssistantExistsError,
  countAssistants,
  createAssistant,
  deleteAssistant,
  listVersions,
  readAssistant,
  searchAssistants,
  updateAssistant,
  useVersion,
} from '../../assistants/assistant.ts';
import type { AssistantSearch } from '../../assistants/assistant.ts';
import type { Graph, GraphConfig } from '../../graphs/port.ts';
import { newId } from '../../ids.ts';
import { threadsOfAssistant } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { pick, sendJson, sendPage } from '../respond.ts';
import {
  AssistantCountBody,
  AssistantCreate,
  AssistantDeleteQuery,
  AssistantGraphQuery,
  AssistantLatestBody,
  AssistantPatch,
  AssistantPath,
  AssistantSearchBody,
  AssistantSubgraphsQuery,
  AssistantVersionsBody,
} from '../schemas/assistant.ts';
import { removeThread } from '../thread-remove.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function assistantRoutes(context: RouteContext): Router {
  const { pool, graphs, guard } = context;
  const named = (request: Request): string => pathOf(AssistantPath, request).assistant_id;

  const create: RequestHandler = async (request, response) => {
    const body = bodyOf(AssistantCreate, request);
    const assistantId = body.assistant_id ?? newId();
    const created = await guard.watch(
      createAssistant(pool, assistantId, {
        graphId: body.graph_id,
        name: body.name ?? 'Untitled',
        description: body.description ?? null,
        config: body.config ?? {},
        context: body.context ?? {},
        metadata: body.metadata ?? {},
      }),
    );
    if (created === undefined && body.if_exists !== 'do_nothing')
      throw new AssistantExistsError('Assistant already exists');
    sendJson(response, created ?? (await guard.watch(readAssistant(pool, assistantId))));
  };

  const get: RequestHandler = async (request, response) => {
    sendJson(response, await guard.watch(readAssistant(pool, named(request))));
  };

  const patch: RequestHandler = async (request, response) => {
    const { graph_id: graphId, ...changes } = bodyOf(AssistantPatch, request);
    sendJson(
      response,
      await guard.watch(updateAssistant(pool, named(request), { graphId, ...changes })),
    );
  };

  const remove: RequestHandler = async (request, response) => {
    const { delete_threads: deleteThreads } = queryOf(AssistantDeleteQuery, request);
    const { assistant_id: assistantId } = await guard.watch(readAssistant(pool, named(request)));
    if (deleteThreads)
      for (const threadId of await guard.watch(threadsOfAssistant(pool, assistantId)))
        await removeThread(context, threadId, response);
    await guard.watch(deleteAssistant(pool, assistantId));
    sendJson(response, [assistantId]);
  };

  const search: RequestHandler = async (request, response) => {
    const body = bodyOf(AssistantSearchBody, request);
    const filter = filterOf(body);
    const [rows, total] = await guard.watch(
      Promise.all([
        searchAssistants(pool, filter, {
          limit: body.limit,
          offset: body.offset,
          sortBy: body.sort_by ?? 'created_at',
          sortOrder: body.sort_order ?? 'desc',
        }),
        countAssistants(pool, filter),
      ]),
    );
    const views = rows.map((row) => pick(row, body.select ?? undefined));
    sendPage(response, views, { offset: body.offset, total });
  };

  const count: RequestHandler = async (request, response) => {
    const filter = filterOf(bodyOf(AssistantCountBody, request));
    sendJson(response, await guard.watch(countAssistants(pool, filter)));
  };

  const versions: RequestHandler = async (request, response) => {
    const { limit, offset, metadata } = bodyOf(AssistantVersionsBody, request);
    const page = { limit, offset, metadata: metadata ?? undefined };
    sendJson(response, await guard.watch(listVersions(pool, named(request), page)));
  };

  const latest: RequestHandler = async (request, response) => {
    const { version } = bodyOf(AssistantLatestBody, request);
    sendJson(response, await guard.watch(useVersion(pool, named(request), version)));
  };

  async function graphOf(request: Request): Promise<{ graph: Graph; config: GraphConfig }> {
    const assistant = await readAssistant(pool, named(request));
    const { configurable } = assistant.config;
    return {
      graph: await graphs.get(assistant.graph_id),
      config: {
        configurable: {
          ...(typeof configurable === 'object' ? configurable : {}),
          graph_id: assistant.graph_id,
          assistant_id: assistant.assistant_id,
        },
        metadata: {},
      },
    };
  }

  const draw: RequestHandler = async (request, response) => {
    const { xray } = queryOf(AssistantGraphQuery, request);
    const { graph, config } = await guard.watch(graphOf(request));
    sendJson(response, await graph.draw(config, xray));
  };

  const schemas: RequestHandler = async (request, response) => {
    const { graph, config } = await guard.watch(graphOf(request));
    sendJson(response, await graph.schemas(config));
  };

  const subgraphs: RequestHandler = async (request, response) => {
    const { recurse } = queryOf(AssistantSubgraphsQuery, request);
    const { namespace } = pathOf(AssistantPath, request);
    const { graph, config } = await guard.watch(graphOf(request));
    sendJson(response, await graph.subgraphs(config, namespace, recurse));
  };

  const router = Router();
  router.post('/assistants', create);
  router.post('/assistants/search', search);
  router.post('/assistants/count', count);
  router.get('/assistants/:assistant_id', get);
  router.patch('/assistants/:assistant_id', patch);
  router.delete('/assistants/:assistant_id', remove);
  router.get('/assistants/:assistant_id/graph', draw);
  router.get('/assistants/:assistant_id/schemas', schemas);
  router.get('/assistants/:assistant_id/subgraphs', subgraphs);
  router.get('/assistants/:assistant_id/subgraphs/:namespace', subgraphs);
  router.post('/assistants/:assistant_id/versions', versions);
  router.post('/assistants/:assistant_id/latest', latest);
  return router;
}

function filterOf(body: {
  graph_id?: string | null | undefined;
  name?: string | null | undefined;
  metadata?: Record<string, unknown> | null | undefined;
}): AssistantSearch {
  return {
    graphId: body.graph_id ?? undefined,
    name: body.name ?? undefined,
    metadata: body.metadata ?? undefined,
  };
}
