/**
 * JSON schemas of a graph, from what LangGraph.js knows at run time: a StateSchema or zod schemas. A graph whose
 * state is only an Annotation knows none: its channels have no types at run time. Then its source may tell
 * (static-schemas.ts); otherwise each channel is described as anything.
 */
import {
  getConfigTypeSchema,
  getInputTypeSchema,
  getOutputTypeSchema,
  getStateTypeSchema,
} from '@langchain/langgraph/zod/schema';
import type { JsonObject } from '../port.ts';
import type { CompiledGraph } from './compiled.ts';

const DRAFT = 'http://json-schema.org/draft-07/schema#';

export interface GraphSchemas {
  state: JsonObject;
  input: JsonObject;
  output: JsonObject;
  config: JsonObject;
}

interface Builder {
  channels?: object;
  _schemaDefinition?: object;
  _inputDefinition?: object;
  _outputDefinition?: object;
}

/** @returns undefined when nothing is known of the graph but the names of its channels */
export function runtimeSchemasOf(graph: CompiledGraph): GraphSchemas | undefined {
  const isKnown = [
    getStateTypeSchema,
    getInputTypeSchema,
    getOutputTypeSchema,
    getConfigTypeSchema,
  ].some((extract) => known(extract, graph) !== undefined);
  return isKnown ? untypedSchemasOf(graph) : undefined;
}

/** What is known, and the names of the channels for the rest. */
export function untypedSchemasOf(graph: CompiledGraph): GraphSchemas {
  const builder = (graph as { builder?: Builder }).builder ?? {};
  const untyped = (definition: object | undefined): JsonObject => ({
    $schema: DRAFT,
    type: 'object',
    properties: Object.fromEntries(Object.keys(definition ?? {}).map((name) => [name, {}])),
  });
  const state = builder._schemaDefinition ?? builder.channels;
  return {
    state: known(getStateTypeSchema, graph) ?? untyped(state),
    input: known(getInputTypeSchema, graph) ?? untyped(builder._inputDefinition ?? state),
    output: known(getOutputTypeSchema, graph) ?? untyped(builder._outputDefinition ?? state),
    config: known(getConfigTypeSchema, graph) ?? untyped(undefined),
  };
}

function known(extract: (graph: unknown) => unknown, graph: CompiledGraph): JsonObject | undefined {
  const schema = extract(graph);
  if (typeof schema !== 'object' || schema === null) return undefined;
  return '$schema' in schema ? { ...schema } : { $schema: DRAFT, ...schema };
}
