/** Documents for tests, and what a client does with them. */
import { readFileSync } from 'node:fs';
import type { ExecutionView } from '../../src/workflows/execution.ts';
import type { Answer } from './server.ts';

type Json = Record<string, unknown>;
type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Pick<Answer, 'status' | 'text' | 'json'>>;

export const example = (name: string): Json =>
  JSON.parse(
    readFileSync(new URL(`../../examples/workflows/${name}`, import.meta.url), 'utf8'),
  ) as Json;

export interface Script {
  when?: string;
  reply: string;
  tool_calls?: { name: string; arguments: Json }[];
  delay_ms?: number;
}

/** An AI node with scripted replies. */
export const ai = (id: string, prompt: string, script: Script[], more: Json = {}): Json => ({
  id,
  type: 'ai-processor',
  config: { prompt, provider: 'scripted', script, ...more },
});

/** start → the nodes one after the other → end. Nodes of `apart` have no edges. */
export function chain(nodes: Json[], more: Json = {}, apart: Json[] = []): Json {
  const all = [{ id: 'start', type: 'start' }, ...nodes, { id: 'end', type: 'end' }] as Json[];
  return {
    name: 'test',
    nodes: [...all, ...apart],
    edges: all.slice(1).map((node, i) => ({ from: all[i]?.['id'], to: node['id'] })),
    ...more,
  };
}

/** A student who asks a teacher; the teacher runs in no step of its own. */
export const studentAndTeacher = (
  mode: 'simple' | 'pubsub',
  options: { answer?: Script; student?: Json } = {},
): Json =>
  chain(
    [
      ai(
        'student',
        "CALL: ask_node('teacher', 'What is quantum physics?')",
        [{ when: 'teacher answered', reply: 'Thank you, now I know.' }],
        options.student,
      ),
    ],
    { metadata: { communication_mode: mode } },
    [
      ai(
        'teacher',
        'You teach.',
        [options.answer ?? { reply: 'Quantum physics is the study of small things.' }],
        {
          system_prompt: 'You are a physics teacher.',
        },
      ),
    ],
  );

export async function createWorkflow(call: Call, document: Json): Promise<string> {
  const answer = await call('POST', '/workflows', document);
  if (answer.status !== 200) throw new Error(`POST /workflows: ${answer.status} ${answer.text}`);
  return (answer.json() as { workflow_id: string }).workflow_id;
}

export async function executeWorkflow(
  call: Call,
  workflowId: string,
  body: Json = {},
): Promise<ExecutionView> {
  const answer = await call('POST', `/workflows/${workflowId}/execute`, body);
  if (answer.status > 202) throw new Error(`execute: ${answer.status} ${answer.text}`);
  return answer.json() as ExecutionView;
}

export const runDocument = async (
  call: Call,
  document: Json,
  body: Json = {},
): Promise<ExecutionView> => executeWorkflow(call, await createWorkflow(call, document), body);
