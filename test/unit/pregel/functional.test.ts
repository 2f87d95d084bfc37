import { z } from 'zod';
import {
  Command,
  entrypoint,
  getPrevious,
  interrupt,
  MemoryCheckpointer,
  NotInActorError,
  task,
} from '../../../src/pregel/index.ts';

const thread = { configurable: { thread_id: 't' } };

test('tasks that finished do not run again after an interrupt', async () => {
  const ran: string[] = [];
  const write = task('write', (topic: string) => {
    ran.push(topic);
    return `essay on ${topic}`;
  });
  const workflow = entrypoint(
    { name: 'workflow', checkpointer: new MemoryCheckpointer() },
    async (topics: string[]) => {
      const drafts = await Promise.all(topics.map((topic) => write(topic)));
      const verdict = interrupt<string>({ drafts });
      return { drafts, verdict };
    },
  );
  expect(await workflow.invoke(['a', 'b'], thread)).toMatchObject({
    __interrupt__: [{ value: { drafts: ['essay on a', 'essay on b'] } }],
  });
  expect(await workflow.invoke(new Command({ resume: 'fine' }), thread)).toEqual({
    drafts: ['essay on a', 'essay on b'],
    verdict: 'fine',
  });
  expect(ran).toEqual(['a', 'b']);
});

test('a task that fails is retried by its policy, and again by the next attempt', async () => {
  let tries = 0;
  const flaky = task({ name: 'flaky', retry: { maxAttempts: 2, initialIntervalMs: 0 } }, () => {
    tries += 1;
    if (tries < 4) throw new Error(`try ${tries}`);
    return tries;
  });
  const workflow = entrypoint(
    { name: 'workflow', checkpointer: new MemoryCheckpointer() },
    async (_input: string) => flaky(),
  );
  await expect(workflow.invoke('x', thread)).rejects.toThrow('try 2');
  expect(await workflow.invoke(null, thread)).toBe(4);
});

test('previous is what the last run returned, or saved apart', async () => {
  const counter = entrypoint(
    { name: 'counter', checkpointer: new MemoryCheckpointer() },
    (add: number, { previous }) => ((previous as number | undefined) ?? 0) + add,
  );
  expect(await counter.invoke(1, thread)).toBe(1);
  expect(await counter.invoke(2, thread)).toBe(3);

  const apart = entrypoint(
    { name: 'apart', checkpointer: new MemoryCheckpointer() },
    async (input: string) => {
      await Promise.resolve();
      return entrypoint.final({ value: getPrevious() ?? 'nothing', save: input });
    },
  );
  expect(await apart.invoke('first', thread)).toBe('nothing');
  expect(await apart.invoke('second', thread)).toBe('first');
});

test('tasks show in updates and tasks; the input is validated', async () => {
  const double = task('double', (n: number) => n * 2);
  const workflow = entrypoint({ name: 'workflow', input: z.number() }, async (n) => double(n));
  const events: unknown[] = [];
  for await (const event of workflow.stream(4, { streamMode: 'updates' })) events.push(event);
  expect(events).toEqual([{ double: 8 }, { workflow: 8 }]);
  await expect(workflow.invoke('four' as never)).rejects.toMatchObject({ code: 'input_invalid' });
});

test('a workflow can call another graph; a task cannot be called outside', async () => {
  const inner = entrypoint('inner', (n: number) => n + 1);
  const outer = entrypoint('outer', async (n: number) => (await inner.invoke(n)) * 10);
  expect(await outer.invoke(1)).toBe(20);
  expect(() => task('alone', () => 1)()).toThrow(NotInActorError);
});
