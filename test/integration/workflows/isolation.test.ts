/** Executions at once, of the same and of other workflows, in both modes: none ever sees anything of another. */
import fc from 'fast-check';
import { says, startOpenAi } from '../../support/openai-server.ts';
import type { OpenAiServer } from '../../support/openai-server.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { chain, createWorkflow, executeWorkflow } from '../../support/workflows.ts';

const ROUNDS = 5;

let models: OpenAiServer;
let app: TestServer;
beforeAll(async () => {
  models = await startOpenAi();
  // Says back what it was told, so that whatever reached a node shows.
  models.otherwise = (response, { body }) => {
    const last = body.messages.at(-1)?.content ?? '';
    says(`heard <${last.replaceAll('CALL:', 'call')}>`)(response);
  };
  app = await startTestServer({
    redis: true,
    environment: {
      OPENAI_BASE_URL: models.url,
      OPENAI_MODEL: 'echo',
      BUS_CHANNEL_PREFIX: 'iso:agent',
      BUS_ASK_TIMEOUT_SECS: '30',
    },
  });
});
afterAll(async () => {
  await app.stop();
  await models.stop();
});

const node = (id: string, prompt: string): Record<string, unknown> => ({
  id,
  type: 'ai-processor',
  config: { prompt, calls: 'text' },
});
const document = (mode: string): Record<string, unknown> =>
  chain(
    [
      node(
        'first',
        `CALL: set_shared_context('k', '{{token}}') CALL: broadcast_message('to all: {{token}}') CALL: ask_node('teacher', 'q {{token}}')`,
      ),
      node('second', `CALL: get_shared_context('k') CALL: ask_node('teacher', 'again {{token}}')`),
      { id: 'all', type: 'transformer', config: { output: { shared: '{{shared}}' } } },
    ],
    { variables: ['token'], metadata: { communication_mode: mode } },
    [node('teacher', 'Teach.')],
  );

test('property: two executions at once never see each other', async () => {
  const workflows = new Map<string, string>();
  for (const mode of ['simple', 'pubsub'])
    workflows.set(mode, await createWorkflow(app.call, document(mode)));
  let made = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('simple', 'pubsub', 'pubsub'), { minLength: 2, maxLength: 6 }),
      async (modes) => {
        const executions = await Promise.all(
          modes.map(async (mode) => {
            const token = `token-${++made}-`;
            const execution = await executeWorkflow(app.call, workflows.get(mode) ?? '', {
              inputs: { token },
            });
            const { text: events } = await app.call(
              'GET',
              `/threads/${execution.thread_id}/runs/${execution.execution_id}/stream`,
            );
            return { token, mode, execution, text: JSON.stringify(execution) + events };
          }),
        );
        for (const { token, mode, execution, text } of executions) {
          expect(execution).toMatchObject({
            status: 'success',
            communication: { used: mode },
            output: { shared: { k: token } },
          });
          expect(execution.outputs['second']).toContain(`k: ${token}`);
          expect(execution.communication_log.map(({ type }) => type)).toEqual([
            'broadcast',
            'ask',
            'response',
            'ask',
            'response',
          ]);
          expect(new Set(text.match(/token-\d+-/g))).toEqual(new Set([token]));
        }
      },
    ),
    // Shrinking would take longer than reading.
    { numRuns: ROUNDS, endOnFailure: true },
  );
}, 120_000);
