/** Long-term memory over HTTP: the same items that graphs see as `config.store`. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import type { Item } from '../../store/items.ts';
import { SemanticSearchUnavailableError, unavailable } from '../../store/semantic.ts';
import type { RouteContext } from '../context.ts';
import { namespaceOf, partOf } from '../namespace.ts';
import { sendEmpty, sendJson } from '../respond.ts';
import {
  ItemDeleteBody,
  ItemPutBody,
  ItemQuery,
  ItemSearchBody,
  NamespacesBody,
} from '../schemas/store.ts';
import { bodyOf, queryOf } from './request.ts';

export function storeRoutes(context: RouteContext): Router {
  const { store, guard } = context;

  const put: RequestHandler = async (request, response) => {
    const { namespace, key, value, index, ttl } = bodyOf(ItemPutBody, request);
    if (Array.isArray(index)) await refuseWhereNobodySearches();
    const item = {
      namespace: namespaceOf(namespace),
      key,
      value,
      index: index ?? undefined,
      ttlMinutes: ttl,
    };
    await guard.watch(store.put([item]));
    sendEmpty(response, 204);
  };

  /** Fields to index are only kept when something indexes them. */
  async function refuseWhereNobodySearches(): Promise<void> {
    const missing = await guard.watch(store.missingForQueries());
    if (missing !== undefined) throw new SemanticSearchUnavailableError(unavailable(missing));
  }

  const get: RequestHandler = async (request, response) => {
    const { namespace, key, refresh_ttl: refreshTtl } = queryOf(ItemQuery, request);
    const labels = namespace?.length === 1 ? dotted(namespace[0]) : namespace;
    const [item] = await guard.watch(
      store.get([{ namespace: namespaceOf(labels), key }], refreshTtl),
    );
    sendJson(response, item == null ? null : itemView(item));
  };

  const remove: RequestHandler = async (request, response) => {
    const { namespace, key } = bodyOf(ItemDeleteBody, request);
    await guard.watch(store.delete([{ namespace: namespaceOf(namespace), key }]));
    sendEmpty(response, 204);
  };

  const search: RequestHandler = async (request, response) => {
    const body = bodyOf(ItemSearchBody, request);
    const items = await guard.watch(
      store.search(
        {
          namespacePrefix: partOf(body.namespace_prefix),
          filter: body.filter ?? undefined,
          query: body.query ?? undefined,
          limit: body.limit,
          offset: body.offset,
        },
        body.refresh_ttl ?? undefined,
      ),
    );
    sendJson(response, { items: items.map(itemView) });
  };

  const namespaces: RequestHandler = async (request, response) => {
    const body = bodyOf(NamespacesBody, request);
    const found = await guard.watch(
      store.listNamespaces({
        prefix: partOf(body.prefix),
        suffix: partOf(body.suffix),
        maxDepth: body.max_depth ?? undefined,
        limit: body.limit,
        offset: body.offset,
      }),
    );
    sendJson(response, { namespaces: found });
  };

  const router = Router();
  router.put('/store/items', put);
  router.get('/store/items', get);
  router.delete('/store/items', remove);
  router.post('/store/items/search', search);
  router.post('/store/namespaces', namespaces);
  return router;
}

const dotted = (namespace: string | undefined): string[] =>
  namespace === undefined || namespace === '' ? [] : namespace.split('.');

function itemView(item: Item): object {
  return {
    namespace: item.namespace,
    key: item.key,
    value: item.value,
    created_at: item.createdAt,
    updated_at: item.updatedAt,
    ...(item.score === undefined ? {} : { score: item.score }),
  };
}
