/**
 * Any endpoint that speaks the OpenAI chat protocol, through the `openai` package: it tries again, with
 * back-off and Retry-After, what was refused before the first token (408, 409, 429, 5xx, no connection).
 * A stream that breaks later is an error: its tokens are out already, and nobody can take them back.
 */
import type { OpenAI } from 'openai';
import type {
  ChatCompletionChunk,
  ChatCompletionCreateParamsStreaming,
  ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import { ModelFailedError } from './model.ts';
import type { ChatMessage, ModelProvider, ModelReply, ModelRequest, ToolCall } from './model.ts';

/** A reply that is longer is taken for a model that does not end. */
const REPLY_LENGTH_MAX = 2_000_000;
const TOOL_CALLS_MAX = 64;
/** Some servers refuse a request without a key, none refuses one too many. */
const NO_KEY = 'none';

export interface OpenAiOptions {
  /** Default: OpenAI's own. */
  readonly baseUrl: string | undefined;
  readonly apiKey: string | undefined;
  /** For requests that name no model. */
  readonly model: string | undefined;
  /** Until the first byte, and between two pieces of the stream, ms. */
  readonly timeoutMs: number;
  /** Attempts after the first. */
  readonly retries: number;
}

export function createOpenAiProvider(options: OpenAiOptions): ModelProvider {
  let client: Promise<OpenAI> | undefined;

  /** Loaded at the first use: most processes never ask a model. */
  const connect = async (): Promise<OpenAI> => {
    const { OpenAI: Client } = await import('openai');
    return new Client({
      apiKey: options.apiKey ?? NO_KEY,
      baseURL: options.baseUrl ?? null,
      organization: null,
      project: null,
      timeout: options.timeoutMs,
      maxRetries: options.retries,
      // Its log would show bodies.
      logLevel: 'off',
    });
  };

  return {
    async complete(request) {
      const model = request.model ?? options.model;
      if (model === undefined)
        throw new ModelFailedError('no model: name one in the node, or set OPENAI_MODEL');
      if (options.apiKey === undefined && options.baseUrl === undefined)
        throw new ModelFailedError('no model endpoint: set OPENAI_API_KEY or OPENAI_BASE_URL');
      const openai = await (client ??= connect());
      // A stream that hangs is not ended by the package's own timeout.
      const idle = new AbortController();
      const signal = AbortSignal.any([request.signal, idle.signal]);
      let timer: NodeJS.Timeout | undefined;
      const stillThere = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          idle.abort();
        }, options.timeoutMs);
      };
      try {
        const stream = await openai.chat.completions.create(paramsOf(request, model), { signal });
        stillThere();
        return await replyOf(stream, request, stillThere);
      } catch (error) {
        request.signal.throwIfAborted();
        const text = error instanceof Error ? error.message : String(error);
        const reason = idle.signal.aborted
          ? `the stream stood still for ${options.timeoutMs / 1_000} s`
          : withoutKey(text, options.apiKey);
        // No cause: the package's errors carry the request's headers.
        throw new ModelFailedError(`model ${model}: ${reason}`);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function paramsOf(request: ModelRequest, model: string): ChatCompletionCreateParamsStreaming {
  const { temperature, maxTokens, tools } = request;
  return {
    model,
    stream: true,
    messages: request.messages.map(messageOf),
    ...(temperature === undefined ? {} : { temperature }),
    // The new name is OpenAI's alone; the old one is what everybody else knows.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    ...(tools.length === 0
      ? {}
      : { tools: tools.map((tool) => ({ type: 'function', function: { ...tool } })) }),
  };
}

function messageOf(message: ChatMessage): ChatCompletionMessageParam {
  switch (message.role) {
    case 'system':
    case 'user':
      return { role: message.role, content: message.content };
    case 'tool':
      return { role: 'tool', content: message.content, tool_call_id: message.toolCallId };
    case 'assistant': {
      const calls = message.toolCalls ?? [];
      if (calls.length === 0) return { role: 'assistant', content: message.content };
      return {
        role: 'assistant',
        content: message.content,
        tool_calls: calls.map(({ id, name, arguments: args }) => ({
          id,
          type: 'function',
          function: { name, arguments: args },
        })),
      };
    }
  }
}

/** @throws {ModelFailedError} when the stream ends before the reply does */
async function replyOf(
  stream: AsyncIterable<ChatCompletionChunk>,
  request: ModelRequest,
  stillThere: () => void,
): Promise<ModelReply> {
  let text = '';
  let finished = false;
  const calls = new Map<number, ToolCall>();
  for await (const { choices } of stream) {
    stillThere();
    const choice = choices[0];
    if (choice === undefined) continue;
    const { delta } = choice;
    if (typeof delta.content === 'string' && delta.content !== '') {
      text += delta.content;
      if (text.length > REPLY_LENGTH_MAX)
        throw new ModelFailedError(`the reply is longer than ${REPLY_LENGTH_MAX} characters`);
      request.onToken(delta.content);
    }
    for (const { index, id, function: piece } of delta.tool_calls ?? []) {
      const known = calls.get(index);
      if (known === undefined && calls.size === TOOL_CALLS_MAX)
        throw new ModelFailedError(`the reply has more than ${TOOL_CALLS_MAX} tool calls`);
      calls.set(index, {
        id: known?.id ?? id ?? `call_${index}`,
        name: (known?.name ?? '') + (piece?.name ?? ''),
        arguments: (known?.arguments ?? '') + (piece?.arguments ?? ''),
      });
    }
    // Some servers say null, others nothing until the last chunk.
    if (choice.finish_reason) finished = true;
  }
  if (!finished) throw new ModelFailedError(`the stream broke off after ${text.length} characters`);
  return { text, toolCalls: [...calls.values()] };
}

/** Servers like to repeat the key they refuse. */
const withoutKey = (text: string, key: string | undefined): string =>
  key === undefined || key === '' ? text : text.replaceAll(key, '***');
