/** A node answers a question: its own model with its own words, wherever this happens. */
import type { Models } from '../models/model.ts';
import type { ChatMessage } from '../models/model.ts';
import type { AiNode } from './document.ts';
import { at, renderText } from './template.ts';

export interface Asked {
  readonly question: string;
  /** What the asker adds to it. */
  readonly context: Readonly<Record<string, unknown>>;
  /** The execution's, for the system prompt. */
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** @throws {ModelFailedError} */
export async function answerQuestion(models: Models, node: AiNode, asked: Asked): Promise<string> {
  const { config } = node;
  const messages: ChatMessage[] = [
    ...systemMessages(node, asked.inputs),
    {
      role: 'user',
      content:
        Object.keys(asked.context).length === 0
          ? asked.question
          : `${asked.question}\n\nContext: ${JSON.stringify(asked.context)}`,
    },
  ];
  const reply = await models[config.provider].complete({
    model: config.model,
    messages,
    tools: [],
    temperature: config.temperature,
    maxTokens: config.max_tokens,
    script: config.script,
    signal: asked.signal,
    onToken: () => undefined,
  });
  return reply.text;
}

export function systemMessages(
  { config }: AiNode,
  inputs: Readonly<Record<string, unknown>>,
): ChatMessage[] {
  if (config.system_prompt === undefined) return [];
  const content = renderText(config.system_prompt, ({ name, path }) =>
    Object.hasOwn(inputs, name) ? at(inputs[name], path) : undefined,
  );
  return [{ role: 'system', content }];
}
