/**
 * An AI node at work: first the calls in its prompt, which its author wrote; then its model, whose own calls
 * are carried out and fed back to it until it makes none. What was done is kept (effects), so a next attempt
 * neither asks nor pays for it again.
 */
import { createHash } from 'node:crypto';
import type { AgentMessage } from '../bus/message.ts';
import type { ActorContext } from '../pregel/index.ts';
import type { ChatMessage, ModelReply, ToolCall } from '../models/model.ts';
import { systemMessages } from './answer.ts';
import { CALLS, parseCalls } from './calls.ts';
import type { CallName } from './calls.ts';
import type { Conversation } from './conversation.ts';
import { AnswerFailedError } from './conversation.ts';
import { communicates } from './document.ts';
import type { AiNode, WorkflowDocument } from './document.ts';
import type { NodeDeps } from './node-deps.ts';
import type { LogEntry, NodeOutcome, State } from './state.ts';
import { renderText, textOf } from './template.ts';
import type { Lookup } from './template.ts';
import { textInstructions, toolsFor } from './tools.ts';

/** Replies of the model in which it may make calls; then its last text counts. */
const ROUNDS_MAX = 8;
/** Calls of one node in one execution. */
const NODE_CALLS_MAX = 50;

export interface NodeRun {
  readonly deps: NodeDeps;
  readonly document: WorkflowDocument;
  readonly conversation: Conversation;
  readonly state: State;
  readonly context: ActorContext;
  /** Throws where a value has no such field. */
  readonly lookup: Lookup;
  /** Does not: for those who ask whether there is one. */
  readonly find: Lookup;
}

export function runAiNode(run: NodeRun, node: AiNode): Promise<NodeOutcome> {
  return new AiNodeRun(run, node).run();
}

interface CallResult {
  readonly name: string;
  /** What the model is told. */
  readonly text: string;
}

class AiNodeRun {
  readonly #run: NodeRun;
  readonly #node: AiNode;
  readonly #shared: Record<string, unknown> = {};
  readonly #log: LogEntry[] = [];
  #calls = 0;

  constructor(run: NodeRun, node: AiNode) {
    this.#run = run;
    this.#node = node;
  }

  async run(): Promise<NodeOutcome> {
    const { config } = this.#node;
    const { document, state } = this.#run;
    const talks = communicates(this.#node);
    const peers = talks
      ? document.nodes.filter((other) => communicates(other) && other.id !== this.#node.id)
      : [];
    const tools = talks && config.calls === 'tools' ? toolsFor(peers.map(({ id }) => id)) : [];
    const messages: ChatMessage[] = systemMessages(this.#node, state.inputs);
    if (talks && config.calls === 'text')
      messages.push({ role: 'system', content: textInstructions(peers.map(({ id }) => id)) });
    messages.push({ role: 'user', content: await this.#prompt(talks) });

    let output = '';
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const reply = await this.#ask(round, messages, round === ROUNDS_MAX - 1 ? [] : tools);
      output = reply.text;
      const results = talks ? await this.#carryOut(reply) : [];
      if (results.length === 0) break;
      messages.push({ role: 'assistant', content: reply.text, toolCalls: reply.toolCalls });
      messages.push(...results);
    }
    return {
      output,
      update: { shared_context: this.#shared, communication_log: this.#log },
    };
  }

  /** The prompt with its calls carried out, and what was said to all before. */
  async #prompt(talks: boolean): Promise<string> {
    const { prompt } = this.#node.config;
    const { lookup, state } = this.#run;
    if (!talks) return renderText(prompt, lookup);
    let text = '';
    let from = 0;
    // Parsed before values are put in, and only the author's own words are rendered: what a value or an
    // answer contains is neither a call nor a template.
    for (const { name, arguments: given, start, end } of parseCalls(prompt).calls) {
      const values = Object.fromEntries(
        Object.entries(given).map(([key, value]) => [
          key,
          typeof value === 'string' ? renderText(value, lookup) : value,
        ]),
      );
      text += renderText(prompt.slice(from, start), lookup) + (await this.#call(name, values)).text;
      from = end;
    }
    text += renderText(prompt.slice(from), lookup);
    const heard = state.communication_log.filter(
      ({ type, from_node: speaker }) => type === 'broadcast' && speaker !== this.#node.id,
    );
    if (heard.length === 0) return text;
    const said = heard.map(({ from_node: speaker, text: words }) => `${speaker} to all: ${words}`);
    return `${said.join('\n')}\n\n${text}`;
  }

  async #ask(
    round: number,
    messages: readonly ChatMessage[],
    tools: ReturnType<typeof toolsFor>,
  ): Promise<ModelReply> {
    const { deps, context } = this.#run;
    const { config, id: node } = this.#node;
    const id = `${context.taskId}-${round}`;
    return context.effect(
      `model:${round}`,
      () =>
        deps.models[config.provider].complete({
          model: config.model,
          messages,
          tools,
          temperature: config.temperature,
          maxTokens: config.max_tokens,
          script: config.script,
          signal: context.signal,
          onToken: (content) => {
            context.message({ id, type: 'AIMessageChunk', name: node, content });
          },
        }),
      // A model that is asked twice does no harm.
      { onUnknown: 'repeat' },
    );
  }

  /** @returns what the model is told of its calls; nothing when it made none */
  async #carryOut(reply: ModelReply): Promise<ChatMessage[]> {
    const results: ChatMessage[] = [];
    for (const call of reply.toolCalls) {
      const { text } = await this.#toolCall(call);
      results.push({ role: 'tool', toolCallId: call.id, content: text });
    }
    const { calls, bad } = parseCalls(reply.text);
    const told: string[] = [];
    for (const { name, arguments: given } of calls) told.push((await this.#call(name, given)).text);
    for (const { reason } of bad) told.push(`CALL refused: ${reason}`);
    if (told.length > 0) results.push({ role: 'user', content: told.join('\n') });
    return results;
  }

  #toolCall({ name, arguments: json }: ToolCall): Promise<CallResult> {
    const refuse = (text: string): Promise<CallResult> => Promise.resolve({ name, text });
    if (!Object.hasOwn(CALLS, name))
      return refuse(`there is no ${name}; there are ${Object.keys(CALLS).join(', ')}`);
    let given: unknown;
    try {
      given = JSON.parse(json === '' ? '{}' : json);
    } catch {
      return refuse(`the arguments of ${name} are no JSON`);
    }
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return refuse(`the arguments of ${name} are no object`);
    return this.#call(name as CallName, given as Record<string, unknown>);
  }

  /** A call that makes no sense is told to the model; one that fails fails the node. */
  async #call(name: CallName, given: Readonly<Record<string, unknown>>): Promise<CallResult> {
    const place = this.#calls++;
    if (place >= NODE_CALLS_MAX) throw new AnswerFailedError(`more than ${NODE_CALLS_MAX} calls`);
    switch (name) {
      case 'ask_node':
        return { name, text: await this.#askNode(place, given) };
      case 'broadcast_message':
        return { name, text: await this.#broadcast(place, given) };
      case 'set_shared_context': {
        const key = textOf(given['key']);
        if (key === '') return { name, text: 'set_shared_context: expected a key' };
        this.#shared[key] = given['value'] ?? null;
        return { name, text: `${key} is set` };
      }
      case 'get_shared_context': {
        const key = textOf(given['key']);
        const shared = { ...this.#run.state.shared_context, ...this.#shared };
        const value = Object.hasOwn(shared, key) ? shared[key] : given['default'];
        return {
          name,
          text: value === undefined ? `${key} is not set` : `${key}: ${textOf(value)}`,
        };
      }
    }
  }

  async #askNode(place: number, given: Readonly<Record<string, unknown>>): Promise<string> {
    const { deps, document, conversation, context } = this.#run;
    const { id: from, config } = this.#node;
    const to = textOf(given['target']);
    const question = textOf(given['question']);
    if (question === '') return 'ask_node: expected a question';
    const known = document.nodes.some((node) => node.id === to && communicates(node));
    if (!known || to === from) {
      const peers = document.nodes.filter((node) => communicates(node) && node.id !== from);
      return `ask_node: there is no node ${JSON.stringify(to)}; there are: ${peers.map(({ id }) => id).join(', ') || 'none'}`;
    }
    const { context: more } = given;
    const asked = await context.effect(
      `ask:${place}`,
      async () => {
        let sent: AgentMessage | undefined;
        const { answer, message } = await conversation.ask({
          from,
          to,
          question,
          context: typeof more === 'object' && more !== null ? { ...more } : {},
          key: hash([context.taskId, String(place), to, question]),
          timeoutMs:
            config.ask_timeout_seconds === undefined
              ? deps.askTimeoutMs
              : config.ask_timeout_seconds * 1_000,
          signal: context.signal,
          onSent: (query) => {
            sent = query;
            context.write({ type: 'agent_message', message: query });
          },
        });
        context.write({ type: 'agent_message', message });
        return {
          answer,
          queryId: sent?.id ?? '',
          askedAt: sent?.created_at ?? '',
          answerId: message.id,
          answeredAt: message.created_at,
        };
      },
      // Asked again it is the same question, with the answer that it may have by now.
      { onUnknown: 'repeat' },
    );
    this.#log.push(
      {
        timestamp: asked.askedAt,
        message_id: asked.queryId,
        from_node: from,
        to_node: to,
        type: 'ask',
        text: question,
      },
      {
        timestamp: asked.answeredAt,
        message_id: asked.answerId,
        from_node: to,
        to_node: from,
        type: 'response',
        text: asked.answer,
      },
    );
    return `${to} answered: ${asked.answer}`;
  }

  async #broadcast(place: number, given: Readonly<Record<string, unknown>>): Promise<string> {
    const { conversation, context } = this.#run;
    const content = textOf(given['message']);
    if (content === '') return 'broadcast_message: expected a message';
    const { target_types: types } = given;
    const message = await context.effect(
      `broadcast:${place}`,
      async () => {
        const sent = await conversation.broadcast(this.#node.id, {
          message: content,
          ...(types === undefined ? {} : { target_types: types }),
        });
        context.write({ type: 'agent_message', message: sent });
        return { id: sent.id, at: sent.created_at };
      },
      { onUnknown: 'repeat' },
    );
    this.#log.push({
      timestamp: message.at,
      message_id: message.id,
      from_node: this.#node.id,
      to_node: 'broadcast',
      type: 'broadcast',
      text: content,
    });
    return 'the message went to all';
  }
}

const hash = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
