/** The nodes that need no model: data, webhooks, mail, filters, transformations, conditions, delays. */
import { setTimeout as delay } from 'node:timers/promises';
import { queryForeign } from '../postgres/foreign.ts';
import type { NodeRun } from './ai-node.ts';
import { holds } from './compare.ts';
import type { NodeOf, NodeType } from './document.ts';
import { AppError } from '../errors.ts';
import { callHttp, renderUrl } from './http-call.ts';
import type { HttpAnswer } from './http-call.ts';
import { renderWithSecrets } from './secrets.ts';
import type { NodeOutcome } from './state.ts';
import { at, render, renderText, textOf } from './template.ts';

export class NodeInputError extends AppError {
  readonly code = 'node_failed';
}

type PlainType = Exclude<NodeType, 'ai-processor'>;
type RunNode<T extends NodeType> = (
  run: NodeRun,
  config: NodeOf<T>['config'],
) => NodeOutcome | Promise<NodeOutcome>;

export const PLAIN_NODES: { readonly [T in PlainType]: RunNode<T> } = {
  start: ({ state }) => ({ output: state.inputs }),

  async end(run, { output }) {
    const value = output === undefined ? inputOf(run) : render(output, run.lookup);
    return Promise.resolve({ output: value });
  },

  async 'data-source'(run, config) {
    const { deps, context, lookup } = run;
    if (config.source === 'postgres') {
      const rows = await queryForeign({
        url: deps.secrets.get(config.connection),
        text: config.query,
        values: config.params.map((param) => render(param, lookup)),
        rowsMax: config.rows_max,
        timeoutMs: config.timeout_seconds * 1_000,
        signal: context.signal,
      });
      // As JSON has it, like every other output.
      return { output: JSON.parse(JSON.stringify(rows)) as unknown };
    }
    const body = config.body === undefined ? undefined : render(config.body, lookup);
    return { output: await request(run, { ...config, body }) };
  },

  async webhook(run, config) {
    const { context, lookup } = run;
    const body = config.body === undefined ? inputOf(run) : render(config.body, lookup);
    const output = await context.effect(
      'send',
      () =>
        request(run, {
          ...config,
          body,
          // At least once: by this the receiver knows it again.
          headers: { 'idempotency-key': context.taskId, ...config.headers },
        }),
      { onUnknown: 'repeat' },
    );
    return { output };
  },

  async email({ deps, context, lookup }, { to, subject, body }) {
    const mail = {
      to: (Array.isArray(to) ? to : [to]).map((each) => renderText(each, lookup)),
      subject: renderText(subject, lookup),
      text: renderText(body, lookup),
    };
    // When nobody knows whether it went out it is not sent twice: the next attempt says so and fails.
    const messageId = await context.effect('send', () => deps.mailer.send(mail));
    return { output: { message_id: messageId, to: mail.to } };
  },

  filter({ lookup }, { items, where }) {
    const list = render(items, lookup);
    if (!Array.isArray(list))
      throw new NodeInputError(`items: expected a list, ${items} is ${textOf(list).slice(0, 100)}`);
    const value = render(where.value, lookup);
    const field = where.field === '' ? '' : `.${where.field}`;
    return { output: list.filter((item) => holds(at(item, field), where.operator, value)) };
  },

  transformer: ({ lookup }, { output }) => ({ output: render(output, lookup) }),

  condition({ lookup, find }, { cases, default: otherwise }) {
    const found = cases.find(({ left, operator, right }) =>
      // Whether a field is there is the question of these two.
      operator === 'exists' || operator === 'not_exists'
        ? holds(render(left, find), operator, undefined)
        : holds(render(left, lookup), operator, render(right, lookup)),
    );
    const label = found?.label ?? otherwise;
    return { output: label, label };
  },

  async delay({ context }, { seconds }) {
    // The date is kept: a next attempt waits for the rest only.
    const until = await context.effect('until', () => Date.now() + seconds * 1_000, {
      onUnknown: 'repeat',
    });
    await delay(Math.max(0, until - Date.now()), undefined, { signal: context.signal });
    return { output: { seconds } };
  },
};

/** The output of the node before, or of the nodes before by id. */
function inputOf({ lookup }: NodeRun): unknown {
  return lookup({ text: 'input', name: 'input', path: '' });
}

async function request(
  { deps, context, lookup }: NodeRun,
  call: {
    url: string;
    method: string;
    headers: Readonly<Record<string, string>>;
    body?: unknown;
    timeout_seconds: number;
  },
): Promise<HttpAnswer> {
  const headers = Object.entries(call.headers).map(([name, value]) => [
    name,
    renderWithSecrets(value, lookup, deps.secrets),
  ]);
  return callHttp(deps.guard, {
    url: renderUrl(call.url, lookup),
    method: call.method,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: call.body,
    timeoutMs: call.timeout_seconds * 1_000,
    signal: context.signal,
    secrets: deps.secrets,
  });
}
