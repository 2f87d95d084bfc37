/**
 * A model without a model: answers from a script that is part of the request. For tests, examples and the
 * demo, which then need no key, and behave the same in whatever process the question is answered.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ModelFailedError } from './model.ts';
import type { ModelProvider } from './model.ts';

export function createScriptedProvider(): ModelProvider {
  return {
    async complete({ script, messages, signal, onToken }) {
      const last = (messages.at(-1)?.content ?? '').toLowerCase();
      const entry = script?.find(
        ({ when }) => when === undefined || last.includes(when.toLowerCase()),
      );
      if (entry === undefined)
        throw new ModelFailedError(
          'the script has no reply for this message: add an entry without "when" to it',
        );
      // With the space that follows, so that the pieces make up the text.
      for (const token of entry.reply.match(/\S+\s*|\s+/g) ?? []) {
        if (entry.delay_ms !== undefined && entry.delay_ms > 0)
          await delay(entry.delay_ms, undefined, { signal });
        signal.throwIfAborted();
        onToken(token);
      }
      return {
        text: entry.reply,
        toolCalls: (entry.tool_calls ?? []).map(({ name, arguments: args }, i) => ({
          id: `call_${i}`,
          name,
          arguments: JSON.stringify(args),
        })),
      };
    },
  };
}
