/** Long-term memory over HTTP: the same items that graphs see as `config.store`. */
import { Router } from 'express';
import type { Item } from '../../store/items.ts';
import { SemanticSearchUnavailableError, unavailable } from '../../store/semantic.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
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

  const put: AskingHandler = async (request, response, access) => {
    const { namespace, key, value, index, ttl } = bodyOf(ItemPutBody, request);
    if (Array.isArray(index)) await refuseWhereNobodySearches();
    const asked = { namespace: [...namespaceOf(namespace)], key, value };
    const permit = await access.ask('store:put', asked);
    const item = {
      ...permit.value,
      namespace: namespaceOf(permit.value.namespace),
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

  const get: AskingHandler = async (request, response, access) => {
    const { namespace, key, refresh_ttl: refreshTtl } = queryOf(ItemQuery, request);
    const labels = namespace?.length === 1 ? dotted(namespace[0]) : namespace;
    const asked = { namespace: [...namespaceOf(labels)], key };
    const { value } = await access.ask('store:get', asked);
    const [item] = await guard.watch(
      store.get([{ namespace: namespaceOf(value.namespace), key: value.key }], refreshTtl),
    );
    sendJson(response, item == null ? null : itemView(item));
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { namespace, key } = bodyOf(ItemDeleteBody, request);
    const asked = { namespace: [...namespaceOf(namespace)], key };
    const { value } = await access.ask('store:delete', asked);
    await guard.watch(store.delete([{ namespace: namespaceOf(value.namespace), key: value.key }]));
    sendEmpty(response, 204);
  };

  const find: AskingHandler = async (request, response, access) => {
    const body = bodyOf(ItemSearchBody, request);
    const { value } = await access.ask('store:search', {
      namespace: [...partOf(body.namespace_prefix)],
      filter: body.filter ?? undefined,
      query: body.query ?? undefined,
      limit: body.limit,
      offset: body.offset,
    });
    const { namespace, ...search } = value;
    const items = await guard.watch(
      store.search(
        { ...search, namespacePrefix: partOf(namespace) },
        body.refresh_ttl ?? undefined,
      ),
    );
    sendJson(response, { items: items.map(itemView) });
  };

  const namespaces: AskingHandler = async (request, response, access) => {
    const body = bodyOf(NamespacesBody, request);
    // A list, also where the client names no prefix: a handler that looks at its first label then finds none.
    const { value } = await access.ask('store:list_namespaces', {
      namespace: [...partOf(body.prefix)],
      suffix: [...partOf(body.suffix)],
      max_depth: body.max_depth ?? undefined,
      limit: body.limit,
      offset: body.offset,
    });
    const found = await guard.watch(
      store.listNamespaces({
        prefix: partOf(value.namespace),
        suffix: partOf(value.suffix),
        maxDepth: value.max_depth,
        limit: value.limit,
        offset: value.offset,
      }),
    );
    sendJson(response, { namespaces: found });
  };

  const router = Router();
  router.put('/store/items', asks(context, 'store:put', put));
  router.get('/store/items', asks(context, 'store:get', get));
  router.delete('/store/items', asks(context, 'store:delete', remove));
  router.post('/store/items/search', asks(context, 'store:search', find));
  router.post('/store/namespaces', asks(context, 'store:list_namespaces', namespaces));
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
