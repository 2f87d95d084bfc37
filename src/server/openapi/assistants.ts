/** The rows of assistants. */
import { z } from 'zod';
import {
  AssistantCountBody,
  AssistantCreate,
  AssistantDeleteQuery,
  AssistantGraphQuery,
  AssistantLatestBody,
  AssistantPatch,
  AssistantSearchBody,
  AssistantSubgraphsQuery,
  AssistantVersionsBody,
} from '../schemas/assistant.ts';
import { json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Assistant, AssistantVersion, Count, GraphDrawing, GraphSchemas } from './views.ts';

const one = '/assistants/:assistant_id';

export const assistants: Noun = {
  tag: 'Assistants',
  description:
    'A graph with its configuration, in versions. A graph id stands for its default assistant.',
  operations: [
    {
      method: 'post',
      path: '/assistants',
      summary: 'Create an assistant',
      body: AssistantCreate,
      answer: json(Assistant),
      errors: [409],
    },
    {
      method: 'post',
      path: '/assistants/search',
      summary: 'Search assistants',
      body: AssistantSearchBody,
      answer: json(z.array(Assistant.partial())),
    },
    {
      method: 'post',
      path: '/assistants/count',
      summary: 'Count assistants',
      body: AssistantCountBody,
      answer: json(Count),
    },
    {
      method: 'get',
      path: one,
      summary: 'Read an assistant',
      answer: json(Assistant),
      errors: [404],
    },
    {
      method: 'patch',
      path: one,
      summary: 'Make a new version',
      description: 'Metadata is merged. Also an empty change makes a version.',
      body: AssistantPatch,
      answer: json(Assistant),
      errors: [404],
    },
    {
      method: 'delete',
      path: one,
      summary: 'Delete an assistant',
      query: AssistantDeleteQuery,
      answer: json(z.array(z.string())),
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/graph`,
      summary: 'Draw the graph',
      query: AssistantGraphQuery,
      answer: json(GraphDrawing),
      errors: [404],
    },
    {
      method: 'get',
      path: `${one}/schemas`,
      summary: 'Schemas of input, output, state and configuration',
      answer: json(GraphSchemas),
      errors: [404],
    },
    ...['', '/:namespace'].map((namespace) => ({
      method: 'get' as const,
      path: `${one}/subgraphs${namespace}`,
      summary:
        namespace === '' ? 'Schemas of all subgraphs' : 'Schemas of the subgraphs of a namespace',
      query: AssistantSubgraphsQuery,
      answer: json(z.record(z.string(), z.unknown())),
      errors: [404] as const,
    })),
    {
      method: 'post',
      path: `${one}/versions`,
      summary: 'List versions, newest first',
      body: AssistantVersionsBody,
      answer: json(z.array(AssistantVersion)),
      errors: [404],
    },
    {
      method: 'post',
      path: `${one}/latest`,
      summary: 'Use a version',
      body: AssistantLatestBody,
      answer: json(Assistant),
      errors: [404],
    },
  ],
};
