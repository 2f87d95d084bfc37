/** The rows of the store. */
import { z } from 'zod';
import {
  ItemDeleteBody,
  ItemPutBody,
  ItemQuery,
  ItemSearchBody,
  NamespacesBody,
} from '../schemas/store.ts';
import { EMPTY, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { StoreItem } from './views.ts';

export const store: Noun = {
  tag: 'Store',
  description: 'Long-term memory, the same that graphs have as `config.store`.',
  operations: [
    {
      method: 'put',
      path: '/store/items',
      summary: 'Put an item',
      body: ItemPutBody,
      answer: EMPTY,
      errors: [422],
    },
    {
      method: 'get',
      path: '/store/items',
      summary: 'Get an item, or null',
      query: ItemQuery,
      answer: json(StoreItem.nullable()),
      errors: [422],
    },
    {
      method: 'delete',
      path: '/store/items',
      summary: 'Delete an item',
      body: ItemDeleteBody,
      answer: EMPTY,
      errors: [422],
    },
    {
      method: 'post',
      path: '/store/items/search',
      summary: 'Search items',
      description:
        'A filter compares fields: a value, or `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin`. `query` searches by meaning.',
      body: ItemSearchBody,
      answer: json(z.strictObject({ items: z.array(StoreItem) })),
      errors: [422],
    },
    {
      method: 'post',
      path: '/store/namespaces',
      summary: 'List namespaces',
      body: NamespacesBody,
      answer: json(z.strictObject({ namespaces: z.array(z.array(z.string())) })),
      errors: [422],
    },
  ],
};
