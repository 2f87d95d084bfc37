/**
 * From a document to a Pregel application. Every node runs in its turn, after all nodes before it; one to which
 * no taken edge leads only passes that on. So a join waits for the branches that are under way and not for
 * those that a condition has left out, and conditions choose one branch and nothing of the others.
 */
import { AppError } from '../errors.ts';
import { isTransient } from '../postgres/pool.ts';
import { START, StateGraph } from '../pregel/index.ts';
import type { ActorContext, Pregel } from '../pregel/index.ts';
import { runAiNode } from './ai-node.ts';
import type { NodeRun } from './ai-node.ts';
import type { Conversation } from './conversation.ts';
import { isResident } from './document.ts';
import type { NodeOf, NodeType, WorkflowDocument, WorkflowNode } from './document.ts';
import type { NodeDeps } from './node-deps.ts';
import { PLAIN_NODES } from './plain-nodes.ts';
import { ExecutionState } from './state.ts';
import type { NodeOutcome, State } from './state.ts';
import { at } from './template.ts';
import type { Lookup } from './template.ts';

/** Which node failed; the cause says why. */
export class NodeFailedError extends AppError {
  readonly code = 'node_failed';
}

/** @param conversation undefined: to look at, not to run */
export function compileWorkflow(
  document: WorkflowDocument,
  deps: NodeDeps,
  conversation: Conversation | undefined,
): Pregel {
  const graph = new StateGraph<typeof ExecutionState, string>(ExecutionState);
  for (const node of document.nodes) {
    if (isResident(document, node)) continue;
    graph.addNode(node.id, (state: State, context: ActorContext) => {
      if (conversation === undefined) throw new NodeFailedError('this workflow is only to look at');
      return step({ document, deps, conversation }, node, state, context);
    });
    const before = new Set(
      document.edges.filter(({ to }) => to === node.id).map(({ from }) => from),
    );
    const [first, ...more] = before;
    if (first === undefined) graph.addEdge(START, node.id);
    else graph.addEdge(more.length === 0 ? first : [...before], node.id);
  }
  return graph.compile({ name: document.name });
}

type Plan = Pick<NodeRun, 'deps' | 'document' | 'conversation'>;
type Edge = WorkflowDocument['edges'][number];

const keyOf = ({ from, to, label }: Edge): string =>
  label === undefined ? `${from} → ${to}` : `${from} [${label}] → ${to}`;

async function step(
  plan: Plan,
  node: WorkflowNode,
  state: State,
  context: ActorContext,
): Promise<Record<string, unknown>> {
  const { edges } = plan.document;
  const incoming = edges.filter(({ to }) => to === node.id);
  const outgoing = edges.filter(({ from }) => from === node.id);
  if (incoming.length > 0 && !incoming.some((edge) => state.taken[keyOf(edge)] === true)) {
    context.write({ type: 'node', node: node.id, status: 'skipped' });
    return { taken: Object.fromEntries(outgoing.map((edge) => [keyOf(edge), false])) };
  }
  context.write({ type: 'node', node: node.id, status: 'started' });
  const find = finderOf(incoming, state);
  const lookup = expecting(find);
  const { output, label, update } = await runNode({ ...plan, state, context, lookup, find }, node);
  context.write({ type: 'node', node: node.id, status: 'finished' });
  const { output_variable: variable } = node.config as { output_variable?: string };
  return {
    outputs: { [node.id]: output },
    taken: Object.fromEntries(
      outgoing.map((edge) => [keyOf(edge), label === undefined || edge.label === label]),
    ),
    ...(variable === undefined ? {} : { variables: { [variable]: output } }),
    ...(node.type === 'start' ? { communication: plan.conversation.communication } : {}),
    ...(node.type === 'end' ? { output } : {}),
    // Another attempt may talk another way than the first.
    ...(node.type === 'ai-processor' ? { communication: plan.conversation.communication } : {}),
    ...update,
  };
}

/** @throws {NodeFailedError} unless it is the run that must end, and not the node that failed */
async function runNode(run: NodeRun, node: WorkflowNode): Promise<NodeOutcome> {
  try {
    return node.type === 'ai-processor'
      ? await runAiNode(run, node)
      : await runPlainNode(run, node);
  } catch (error) {
    run.context.signal.throwIfAborted();
    // Postgres away, a term lost: the worker knows what to do.
    if (isTransient(error) || (error instanceof AppError && error.code === 'term_fenced'))
      throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new NodeFailedError(
      run.deps.secrets.scrub(`node "${node.id}" (${node.type}): ${reason}`),
    );
  }
}

function runPlainNode<T extends Exclude<NodeType, 'ai-processor'>>(
  run: NodeRun,
  node: NodeOf<T>,
): NodeOutcome | Promise<NodeOutcome> {
  return PLAIN_NODES[node.type](run, node.config);
}

/** Of a node that was left out nothing is expected; of one that ran, what the template says. */
function expecting(find: Lookup): Lookup {
  return (place) => {
    const { text, name, path } = place;
    const found = find(place);
    if (found !== undefined || path === '') return found;
    const whole = find({ text: name, name, path: '' });
    if (whole !== undefined && whole !== null)
      throw new NodeFailedError(`{{${text}}}: "${name}" has no ${path}`);
    return undefined;
  };
}

/** Names of templates: `input`, `shared`, output variables, inputs, nodes. */
function finderOf(incoming: readonly Edge[], state: State): Lookup {
  const came = incoming.filter((edge) => state.taken[keyOf(edge)] === true).map(({ from }) => from);
  const ran = (id: string): boolean => Object.hasOwn(state.outputs, id);
  return ({ name, path }) => at(valueOf(name), path);

  function valueOf(name: string): unknown {
    if (name === 'shared') return state.shared_context;
    if (name === 'input') {
      const [only, ...more] = came.filter(ran);
      if (only === undefined) return state.inputs;
      if (more.length === 0) return state.outputs[only];
      return Object.fromEntries([only, ...more].map((id) => [id, state.outputs[id]]));
    }
    if (Object.hasOwn(state.variables, name)) return state.variables[name];
    if (Object.hasOwn(state.inputs, name)) return state.inputs[name];
    return ran(name) ? state.outputs[name] : undefined;
  }
}
