/**
 * Whether a document can be executed: everything that can be known before a run is refused here, with the
 * node named. What is accepted compiles.
 */
import type { z } from 'zod';
import { parseCalls } from './calls.ts';
import {
  communicates,
  DocumentEnvelope,
  DocumentInvalidError,
  isResident,
  parseNodes,
} from './document.ts';
import type { WorkflowDocument, WorkflowNode } from './document.ts';
import { SECRET, secretNamesOf } from './secrets.ts';
import { badBraces, placesOf } from './template.ts';

/** Names that templates know without a variable: what came from the nodes before, and the shared context. */
export const BUILT_IN = ['input', 'shared'] as const;
/** Fields of the state of an execution: no node may be called so. */
export const STATE_FIELDS = [
  'inputs',
  'variables',
  'outputs',
  'output',
  'taken',
  'shared_context',
  'communication',
  'communication_log',
] as const;
/** Headers that carry a secret: its value must come from the environment. */
const SECRET_HEADERS =
  /^(authorization|proxy-authorization|cookie|x-api-key|api-key)$|token|secret|password/i;
const PROBLEMS_MAX = 50;

/** @throws {DocumentInvalidError} with a line for each problem */
export function parseDocument(given: unknown): WorkflowDocument {
  const envelope = DocumentEnvelope.safeParse(given);
  if (!envelope.success) throw new DocumentInvalidError(envelopeProblems(envelope.error, given));
  const { nodes, problems } = parseNodes(envelope.data.nodes);
  refuse(problems);
  const document: WorkflowDocument = {
    name: envelope.data.name,
    nodes,
    edges: envelope.data.edges,
    variables: envelope.data.variables,
    metadata: envelope.data.metadata,
  };
  refuse(namesOf(document));
  refuse(edgesOf(document));
  refuse(cyclesOf(document));
  refuse(reachOf(document));
  const ancestors = ancestorsOf(document);
  refuse(
    document.nodes.flatMap((node) =>
      contentsOf(document, node, ancestors.get(node.id) ?? new Set()).map(
        (problem) => `node "${node.id}": ${problem}`,
      ),
    ),
  );
  return document;
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new DocumentInvalidError(problems.slice(0, PROBLEMS_MAX).join('\n'));
}

/** Paths of zod, with the node's id instead of its place. */
function envelopeProblems(error: z.ZodError, given: unknown): string {
  const nodes = (given as { nodes?: unknown } | null)?.nodes;
  return error.issues
    .slice(0, PROBLEMS_MAX)
    .map(({ path, message }) => {
      const [first, place, ...rest] = path;
      const node: unknown =
        first === 'nodes' && typeof place === 'number' && Array.isArray(nodes)
          ? nodes[place]
          : undefined;
      const id: unknown = (node as { id?: unknown } | null | undefined)?.id;
      return typeof id === 'string'
        ? `node "${id}": ${rest.join('.') || 'node'}: ${message}`
        : `${path.join('.') || 'document'}: ${message}`;
    })
    .join('\n');
}

function namesOf({ nodes, variables }: WorkflowDocument): string[] {
  const problems: string[] = [];
  const ids = new Set<string>();
  for (const { id, config } of nodes) {
    if (ids.has(id)) problems.push(`node "${id}": there are two nodes with this id`);
    if ((STATE_FIELDS as readonly string[]).includes(id) || isBuiltIn(id))
      problems.push(`node "${id}": the id is reserved`);
    if ('output_variable' in config && isBuiltIn(config.output_variable ?? ''))
      problems.push(`node "${id}": config.output_variable: the name is reserved`);
    ids.add(id);
  }
  const names = new Set<string>();
  for (const { name } of variables) {
    if (names.has(name)) problems.push(`variable "${name}": there are two with this name`);
    if (ids.has(name)) problems.push(`variable "${name}": a node has this id`);
    if (isBuiltIn(name)) problems.push(`variable "${name}": the name is reserved`);
    names.add(name);
  }
  for (const type of ['start', 'end'] as const) {
    const found = nodes.filter((node) => node.type === type);
    if (found.length === 0) problems.push(`there is no node of type "${type}"`);
    if (type === 'start')
      for (const { id } of found.slice(1))
        problems.push(`node "${id}": a second node of type "start"`);
  }
  return problems;
}

const isBuiltIn = (name: string): boolean =>
  (BUILT_IN as readonly string[]).includes(name) || name === SECRET;

function edgesOf({ nodes, edges }: WorkflowDocument): string[] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const problems: string[] = [];
  const pairs = new Set<string>();
  for (const { from, to, label } of edges) {
    const say = (problem: string): void => {
      problems.push(`edge "${from}" → "${to}": ${problem}`);
    };
    const source = known.get(from);
    const target = known.get(to);
    if (source === undefined) say(`there is no node "${from}"`);
    if (target === undefined) say(`there is no node "${to}"`);
    if (source?.type === 'end') say(`node "${from}" is of type "end": nothing comes after it`);
    if (target?.type === 'start') say(`node "${to}" is of type "start": nothing comes before it`);
    if (source?.type === 'condition') {
      const labels = [...source.config.cases.map((one) => one.label), source.config.default];
      if (label === undefined || !labels.includes(label))
        say(`node "${from}" is a condition: expected a label, one of ${labels.join(', ')}`);
    } else if (label !== undefined && source !== undefined)
      say(`only edges that leave a condition have a label, and "${from}" is none`);
    const pair = JSON.stringify([from, to, label]);
    if (pairs.has(pair)) say('the edge is there twice');
    pairs.add(pair);
  }
  return problems;
}

/** Nodes in an order in which each comes after all before it; those on cycles are missing. */
export function inOrder({ nodes, edges }: WorkflowDocument): WorkflowNode[] {
  const waiting = new Map(nodes.map(({ id }) => [id, 0]));
  for (const { to } of edges) waiting.set(to, (waiting.get(to) ?? 0) + 1);
  const ready = nodes.filter(({ id }) => waiting.get(id) === 0);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const order: WorkflowNode[] = [];
  for (let node = ready.shift(); node !== undefined; node = ready.shift()) {
    order.push(node);
    for (const { from, to } of edges) {
      if (from !== node.id) continue;
      const left = (waiting.get(to) ?? 0) - 1;
      waiting.set(to, left);
      const next = byId.get(to);
      if (left === 0 && next !== undefined) ready.push(next);
    }
  }
  return order;
}

function cyclesOf(document: WorkflowDocument): string[] {
  const free = new Set(inOrder(document).map(({ id }) => id));
  const stuck = document.nodes.find(
    ({ id }) =>
      !free.has(id) && document.edges.some(({ from, to }) => from === id && !free.has(to)),
  );
  if (stuck === undefined) return [];
  // Backwards every stuck node has a stuck one before it, so the walk ends on a cycle.
  const path = [stuck.id];
  for (;;) {
    const last = path.at(-1);
    const before =
      document.edges.find(({ from, to }) => to === last && !free.has(from))?.from ?? '';
    const at = path.indexOf(before);
    if (at >= 0) {
      const cycle = [...path.slice(at), before].reverse();
      return [`node "${before}": it is on a cycle: ${cycle.join(' → ')}`];
    }
    path.push(before);
  }
}

function reachOf(document: WorkflowDocument): string[] {
  const start = document.nodes.find(({ type }) => type === 'start');
  const reached = new Set([start?.id ?? '']);
  for (const { id } of inOrder(document))
    if (reached.has(id))
      for (const { from, to } of document.edges) if (from === id) reached.add(to);
  const problems = document.nodes
    .filter((node) => !reached.has(node.id) && !isResident(document, node))
    .map(({ id }) => `node "${id}": no edge leads to it from "${start?.id ?? 'start'}"`);
  if (
    problems.length === 0 &&
    !document.nodes.some(({ id, type }) => type === 'end' && reached.has(id))
  )
    problems.push('no node of type "end" is reached');
  return problems;
}

function ancestorsOf(document: WorkflowDocument): Map<string, ReadonlySet<string>> {
  const ancestors = new Map<string, Set<string>>(document.nodes.map(({ id }) => [id, new Set()]));
  for (const { id } of inOrder(document))
    for (const { from, to } of document.edges)
      if (from === id)
        for (const each of [id, ...(ancestors.get(id) ?? [])]) ancestors.get(to)?.add(each);
  return ancestors;
}

/** Templates, secrets and calls of one node. */
function contentsOf(
  document: WorkflowDocument,
  node: WorkflowNode,
  ancestors: ReadonlySet<string>,
): string[] {
  const problems: string[] = [];
  const inputs = document.variables.map(({ name }) => name);
  const outputs = document.nodes.flatMap(({ id, config }) =>
    ancestors.has(id)
      ? [
          id,
          ...('output_variable' in config && config.output_variable !== undefined
            ? [config.output_variable]
            : []),
        ]
      : [],
  );
  const check = (field: string, template: unknown, names: readonly string[]): void => {
    for (const braces of badBraces(template))
      problems.push(
        `config.${field}: ${braces} is no template: expected {{name}} or {{name.field}}`,
      );
    for (const { text, name } of placesOf(template))
      if (!names.includes(name))
        problems.push(
          name === SECRET
            ? `config.${field}: {{${text}}}: secrets are for headers only`
            : `config.${field}: {{${text}}}: there is no variable "${name}" and no node "${name}" before this one`,
        );
  };
  const all = [...inputs, ...outputs, ...BUILT_IN];
  for (const [field, value] of Object.entries(node.config)) {
    if (field === 'script' || field === 'name' || field === 'description') continue;
    if (field === 'query') {
      if (placesOf(value).length > 0)
        problems.push('config.query: no templates here: put values into params as $1, $2, …');
    } else if (field === 'headers')
      problems.push(...headersOf(value as Record<string, string>, all, check));
    // Needed to answer, too, where and when nothing but the inputs is known.
    else if (field === 'system_prompt') check(field, value, inputs);
    else check(field, value, all);
  }
  return communicates(node)
    ? [...problems, ...callsOf(document, node.id, node.config.prompt)]
    : problems;
}

function headersOf(
  headers: Record<string, string>,
  names: readonly string[],
  check: (field: string, template: unknown, names: readonly string[]) => void,
): string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    check(`headers.${name}`, value, [...names, SECRET]);
    if (SECRET_HEADERS.test(name) && secretNamesOf(value).length === 0)
      problems.push(
        `config.headers.${name}: a secret comes from the environment: expected {{${SECRET}.NAME}}`,
      );
  }
  return problems;
}

/** The calls that the author has written into the prompt. */
function callsOf(document: WorkflowDocument, id: string, prompt: string): string[] {
  const { calls, bad } = parseCalls(prompt);
  const agents = document.nodes.filter(communicates).map((node) => node.id);
  return [
    ...bad.map(({ reason }) => `config.prompt: CALL: ${reason}`),
    ...calls.flatMap(({ name, arguments: { target } }) =>
      name !== 'ask_node' ||
      (typeof target === 'string' && target !== id && agents.includes(target))
        ? []
        : [`config.prompt: ask_node: there is no other AI node ${JSON.stringify(target)} to ask`],
    ),
  ];
}
