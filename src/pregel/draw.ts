/** A graph as nodes and edges, as clients draw it, and as Mermaid text. */
import type { Actor, ActorEdge } from './actor.ts';
import type { Selection } from './events.ts';
import { END, START } from './reserved.ts';

export interface DrawnNode {
  readonly id: string;
  readonly type: 'schema' | 'runnable';
  readonly data: unknown;
}
export interface DrawnEdge {
  readonly source: string;
  readonly target: string;
  readonly conditional: boolean;
  readonly data?: string;
}
export interface DrawnGraph {
  readonly nodes: readonly DrawnNode[];
  readonly edges: readonly DrawnEdge[];
}

export interface Drawable {
  readonly name: string;
  readonly nodes: Readonly<Record<string, Actor>>;
  readonly input: Selection;
  readonly output: Selection;
}

/** A graph inside an actor that can be drawn in its place. */
interface Nested {
  draw(depth: number): DrawnGraph;
}

/** @param depth levels of subgraphs to open; 0: show each as one node */
export function drawGraph(graph: Drawable, depth: number): DrawnGraph {
  const nodes: DrawnNode[] = [{ id: START, type: 'schema', data: START }];
  const edges: DrawnEdge[] = [];
  for (const [name, actor] of Object.entries(graph.nodes)) {
    if (name === START) continue;
    if (depth > 0 && actor.subgraph !== undefined) {
      const inner = (actor.subgraph as Nested).draw(depth - 1);
      // The inside keeps its names behind the node's; its entry and exit become the node's edges.
      const named = (id: string): string => `${name}:${id}`;
      nodes.push(...inner.nodes.map((node) => ({ ...node, id: named(node.id) })));
      edges.push(
        ...inner.edges.map((edge) => ({
          ...edge,
          source: named(edge.source),
          target: named(edge.target),
        })),
      );
    } else {
      nodes.push({ id: name, type: 'runnable', data: { id: ['pregel', 'actor'], name } });
    }
  }
  nodes.push({ id: END, type: 'schema', data: END });
  const opened = (name: string): boolean => depth > 0 && graph.nodes[name]?.subgraph !== undefined;
  for (const edge of edgesOf(graph)) {
    edges.push({
      ...edge,
      source: opened(edge.source) ? `${edge.source}:${END}` : edge.source,
      target: opened(edge.target) ? `${edge.target}:${START}` : edge.target,
    });
  }
  return { nodes, edges };
}

/** Edges as the builder knows them, else through the channels: who writes what another reads. */
function edgesOf({ nodes, input, output }: Drawable): DrawnEdge[] {
  const list = (selection: Selection): readonly string[] =>
    typeof selection === 'string' ? [selection] : selection;
  const inputs = list(input);
  const outputs = list(output);
  const edges: DrawnEdge[] = [];
  for (const [name, actor] of Object.entries(nodes)) {
    if (actor.edges !== undefined) {
      edges.push(...actor.edges.map((edge) => drawnEdge(name, edge)));
      continue;
    }
    if (actor.triggers.some((channel) => inputs.includes(channel)) && name !== START) {
      edges.push({ source: START, target: name, conditional: false });
    }
    const writes = actor.writes ?? [];
    for (const [other, reader] of Object.entries(nodes)) {
      const channel = reader.triggers.find((trigger) => writes.includes(trigger));
      if (channel === undefined) continue;
      edges.push({ source: name, target: other, conditional: false, data: channel });
    }
    if (writes.some((channel) => outputs.includes(channel))) {
      edges.push({ source: name, target: END, conditional: false });
    }
  }
  return edges;
}

function drawnEdge(source: string, edge: ActorEdge): DrawnEdge {
  return {
    source,
    target: edge.target,
    conditional: edge.conditional ?? false,
    ...(edge.label === undefined ? {} : { data: edge.label }),
  };
}

/** @returns text for a Mermaid renderer */
export function toMermaid({ nodes, edges }: DrawnGraph): string {
  const ids = new Map(nodes.map(({ id }, place) => [id, mermaidId(id, place)]));
  const lines = ['graph TD'];
  for (const { id, type } of nodes) {
    const label = id.replaceAll('"', "'");
    lines.push(
      type === 'schema'
        ? `  ${ids.get(id) ?? ''}(["${label}"])`
        : `  ${ids.get(id) ?? ''}["${label}"]`,
    );
  }
  for (const { source, target, conditional, data } of edges) {
    const label = data === undefined ? '' : `|"${data.replaceAll('"', "'")}"|`;
    lines.push(
      `  ${ids.get(source) ?? source} ${conditional ? '-.->' : '-->'}${label} ${ids.get(target) ?? target}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** A word Mermaid takes as an id: names may have any characters, and `end` is a keyword. */
const mermaidId = (id: string, place: number): string =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(id) && id !== 'end' ? id : `n${place}`;
