/** Tells who it runs for, waits when it is told to, and asks back when it is told to. */
import { Annotation, interrupt, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { setTimeout as delay } from 'node:timers/promises';

const State = Annotation.Root({
  n: Annotation<number>(),
  sleepMs: Annotation<number>(),
  ask: Annotation<boolean>(),
  user: Annotation<unknown>(),
});

async function tell(
  { n = 0, sleepMs = 0, ask = false }: Partial<typeof State.State>,
  { configurable = {}, signal }: LangGraphRunnableConfig,
): Promise<Partial<typeof State.State>> {
  if (sleepMs > 0) await delay(sleepMs, undefined, { signal });
  if (ask) interrupt({ question: 'go on?' });
  const {
    langgraph_auth_user: user,
    langgraph_auth_user_id: id,
    langgraph_auth_permissions: permissions,
    user_id: userId,
  } = configurable as Record<string, unknown>;
  return { n: n + 1, user: { user, id, permissions, userId } };
}

export const graph = new StateGraph(State).addNode('tell', tell).addEdge(START, 'tell').compile();
