/**
 * The port to language models. A provider turns messages into a reply and hands on its text as it is
 * produced. Keys and addresses are the provider's own: a request never carries either, so a document
 * that is stored by a client cannot send a key anywhere.
 */
import { AppError } from '../errors.ts';

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON as the model wrote it; may be invalid. */
  readonly arguments: string;
}

export type ChatMessage =
  | { readonly role: 'system' | 'user'; readonly content: string }
  | {
      readonly role: 'assistant';
      readonly content: string;
      readonly toolCalls?: readonly ToolCall[];
    }
  | { readonly role: 'tool'; readonly content: string; readonly toolCallId: string };

export interface ToolSpec {
  readonly name: string;
  readonly description: string;
  /** JSON schema of the arguments. */
  readonly parameters: Record<string, unknown>;
}

/** What the scripted provider answers (scripted.ts); other providers ignore it. */
export interface ScriptedReply {
  /** Used when the last message contains this text, in any case; absent: always. */
  readonly when?: string | undefined;
  readonly reply: string;
  readonly tool_calls?: readonly { name: string; arguments: Record<string, unknown> }[] | undefined;
  /** Pause before each token, ms. */
  readonly delay_ms?: number | undefined;
}

export interface ModelRequest {
  /** undefined: the provider's default. */
  readonly model: string | undefined;
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolSpec[];
  readonly temperature: number | undefined;
  readonly maxTokens: number | undefined;
  readonly script: readonly ScriptedReply[] | undefined;
  readonly signal: AbortSignal;
  /** Called with each piece of text, in order, while the reply is being produced. */
  onToken(text: string): void;
}

export interface ModelReply {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
}

export interface ModelProvider {
  /** @throws {ModelFailedError} when there is no whole reply; the signal's reason when aborted */
  complete(request: ModelRequest): Promise<ModelReply>;
}

export const PROVIDERS = ['openai', 'scripted'] as const;
export type ProviderName = (typeof PROVIDERS)[number];
export type Models = Readonly<Record<ProviderName, ModelProvider>>;

/** The model gave no whole reply. Whoever called it says for which node. */
export class ModelFailedError extends AppError {
  readonly code = 'model_failed';
}
