/** Assistants and what their graphs look like. `:assistant_id` may be a graph's id everywhere. */
import { Router } from 'express';
import type { Request, Response } from 'express';
import {
  AssistantExistsError,
  assistantIdOf,
  AssistantNotFoundError,
  countAssistants,
  createAssistant,
  deleteAssistant,
  isDefaultAssistant,
  listVersions,
  readAssistant,
  searchAssistants,
  updateAssistant,
  useVersion,
} from '../../assistants/assistant.ts';
import type { AssistantRow, AssistantSearch } from '../../assistants/assistant.ts';
import type { Graph, GraphConfig } from '../../graphs/port.ts';
import { isReservedGraph } from '../../graphs/reserved.ts';
import { newId } from '../../ids.ts';
import { threadsOfAssistant } from '../../threads/thread.ts';
import type { Access } from '../../auth/gate.ts';
import type { Visibility } from '../../postgres/visibility.ts';
import { userConfigurable } from '../../runs/run.ts';
import { WORKFLOW_ASSISTANT } from '../../workflows/execution.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
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
import { removeIfThere } from '../thread-remove.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function assistantRoutes(context: RouteContext): Router {
  const { pool, graphs, guard } = context;
  const named = (request: Request): string => pathOf(AssistantPath, request).assistant_id;

  const create: AskingHandler = async (request, response, access) => {
    const body = bodyOf(AssistantCreate, request);
    const assistantId = body.assistant_id ?? newId();
    if (assistantId === WORKFLOW_ASSISTANT)
      throw new AssistantExistsError('Assistant already exists');
    const { visible, value } = await access.ask('assistants:create', {
      assistant_id: assistantId,
      graph_id: body.graph_id,
      name: body.name,
      description: body.description,
      config: body.config ?? {},
      context: body.context ?? {},
      metadata: body.metadata ?? {},
      if_exists: body.if_exists ?? 'raise',
    });
    // Of a graph that is not there yet it would be in the place of what everybody may run.
    const created = isDefaultAssistant(assistantId, body.graph_id)
      ? undefined
      : await guard.watch(
          createAssistant(pool, assistantId, {
            graphId: body.graph_id,
            name: body.name ?? 'Untitled',
            description: body.description ?? null,
            config: value.config,
            context: value.context,
            metadata: value.metadata,
          }),
        );
    if (created === undefined && body.if_exists !== 'do_nothing')
      throw new AssistantExistsError('Assistant already exists');
    sendJson(response, created ?? (await guard.watch(existing(assistantId, visible))));
  };

  /** @throws {AssistantExistsError} another's */
  async function existing(assistantId: string, visible: Visibility): Promise<AssistantRow> {
    try {
      return await readAssistant(pool, assistantId, visible);
    } catch (error) {
      if (!(error instanceof AssistantNotFoundError)) throw error;
      throw new AssistantExistsError('Assistant already exists', { cause: error });
    }
  }

  /** Under its id, whatever the path calls it. */
  async function mayRead(request: Request, access: Access): Promise<Visibility> {
    const id = assistantIdOf(named(request));
    return (await access.ask('assistants:read', { assistant_id: id })).visible;
  }

  const get: AskingHandler = async (request, response, access) => {
    const visible = await mayRead(request, access);
    sendJson(response, await guard.watch(readAssistant(pool, named(request), visible)));
  };

  const patch: AskingHandler = async (request, response, access) => {
    const { graph_id: graphId, ...changes } = bodyOf(AssistantPatch, request);
    const { visible, value } = await access.ask('assistants:update', {
      assistant_id: assistantIdOf(named(request)),
      graph_id: graphId,
      ...changes,
      metadata: changes.metadata ?? {},
    });
    const { config, context: contextOf, metadata } = value;
    sendJson(
      response,
      await guard.watch(
        updateAssistant(pool, named(request), visible, {
          ...changes,
          graphId,
          config,
          context: contextOf,
          metadata,
        }),
      ),
    );
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { delete_threads: deleteThreads } = queryOf(AssistantDeleteQuery, request);
    const assistantId = assistantIdOf(named(request));
    const { visible } = await access.ask('assistants:delete', { assistant_id: assistantId });
    await guard.watch(readAssistant(pool, assistantId, visible));
    if (deleteThreads) await removeThreads(assistantId, access, response);
    await guard.watch(deleteAssistant(pool, assistantId, visible));
    sendJson(response, [assistantId]);
  };

  /** Those of its threads that the caller may remove. */
  async function removeThreads(
    assistantId: string,
    access: Access,
    response: Response,
  ): Promise<void> {
    const { visible } = await access.ask('threads:delete', {
      metadata: { assistant_id: assistantId },
    });
    for (const id of await guard.watch(threadsOfAssistant(pool, assistantId, visible)))
      // One may be gone meanwhile, as a stateless run's thread goes.
      await removeIfThere(context, id, response, visible);
  }

  const search: AskingHandler = async (request, response, access) => {
    const body = bodyOf(AssistantSearchBody, request);
    const filter = await filterOf(body, access);
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

  const count: AskingHandler = async (request, response, access) => {
    const filter = await filterOf(bodyOf(AssistantCountBody, request), access);
    sendJson(response, await guard.watch(countAssistants(pool, filter)));
  };

  const versions: AskingHandler = async (request, response, access) => {
    const { limit, offset, metadata } = bodyOf(AssistantVersionsBody, request);
    const page = { limit, offset, metadata: metadata ?? undefined };
    const visible = await mayRead(request, access);
    sendJson(response, await guard.watch(listVersions(pool, named(request), visible, page)));
  };

  const latest: AskingHandler = async (request, response, access) => {
    const { version } = bodyOf(AssistantLatestBody, request);
    const { visible } = await access.ask('assistants:update', {
      assistant_id: assistantIdOf(named(request)),
      version,
      metadata: {},
    });
    sendJson(response, await guard.watch(useVersion(pool, named(request), visible, version)));
  };

  async function graphOf(
    request: Request,
    access: Access,
  ): Promise<{ graph: Graph; config: GraphConfig }> {
    const visible = await mayRead(request, access);
    const assistant = await readAssistant(pool, named(request), visible);
    if (isReservedGraph(assistant.graph_id))
      throw new AssistantNotFoundError('Assistant not found');
    const { configurable } = assistant.config;
    return {
      graph: await graphs.get(assistant.graph_id),
      config: {
        configurable: {
          ...(typeof configurable === 'object' ? configurable : {}),
          graph_id: assistant.graph_id,
          assistant_id: assistant.assistant_id,
          ...userConfigurable(access.user),
        },
        metadata: {},
      },
    };
  }

  const draw: AskingHandler = async (request, response, access) => {
    const { xray } = queryOf(AssistantGraphQuery, request);
    const { graph, config } = await guard.watch(graphOf(request, access));
    sendJson(response, await graph.draw(config, xray));
  };

  const schemas: AskingHandler = async (request, response, access) => {
    const { graph, config } = await guard.watch(graphOf(request, access));
    sendJson(response, await graph.schemas(config));
  };

  const subgraphs: AskingHandler = async (request, response, access) => {
    const { recurse } = queryOf(AssistantSubgraphsQuery, request);
    const { namespace } = pathOf(AssistantPath, request);
    const { graph, config } = await guard.watch(graphOf(request, access));
    sendJson(response, await graph.subgraphs(config, namespace, recurse));
  };

  const router = Router();
  const one = '/assistants/:assistant_id';
  router.post('/assistants', asks(context, 'assistants:create', create));
  router.post('/assistants/search', asks(context, 'assistants:search', search));
  router.post('/assistants/count', asks(context, 'assistants:search', count));
  router.get(one, asks(context, 'assistants:read', get));
  router.patch(one, asks(context, 'assistants:update', patch));
  router.delete(one, asks(context, ['assistants:delete', 'threads:delete'], remove));
  router.get(`${one}/graph`, asks(context, 'assistants:read', draw));
  router.get(`${one}/schemas`, asks(context, 'assistants:read', schemas));
  router.get(`${one}/subgraphs`, asks(context, 'assistants:read', subgraphs));
  router.get(`${one}/subgraphs/:namespace`, asks(context, 'assistants:read', subgraphs));
  router.post(`${one}/versions`, asks(context, 'assistants:read', versions));
  router.post(`${one}/latest`, asks(context, 'assistants:update', latest));
  return router;
}

async function filterOf(
  body: {
    graph_id?: string | null | undefined;
    name?: string | null | undefined;
    metadata?: Record<string, unknown> | null | undefined;
    limit?: number;
    offset?: number;
  },
  access: Access,
): Promise<AssistantSearch> {
  const { graph_id: graphId, name, metadata, limit, offset } = body;
  const asked = { graph_id: graphId, name, metadata: { ...metadata }, limit, offset };
  const { visible } = await access.ask('assistants:search', asked);
  return {
    visible,
    graphId: graphId ?? undefined,
    name: name ?? undefined,
    metadata: metadata ?? undefined,
  };
}
