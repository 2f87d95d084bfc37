/** The judge of the fault tests: each thing it must find, it finds. */
import {
  counterViolations,
  endViolations,
  logViolations,
  viewViolations,
} from '../../support/checker.ts';
import type { SseEvent } from '../../support/event-client.ts';

const event = (id: string, data = id): SseEvent => ({ id, event: 'custom', data });
const rewind = (to: string): SseEvent => ({
  id: to,
  event: 'rewind',
  data: JSON.stringify({ to }),
});
const archive = ['0', '1', '2-2', '3-2'].map((id) => event(id));
const view = (...sessions: SseEvent[][]): string[] => {
  let after: string | undefined;
  return viewViolations(
    sessions.map((events) => {
      const session = { after, events, ended: true };
      after = events.at(-1)?.id;
      return session;
    }),
    archive,
  );
};

test('a whole view over several connections and announced rewinds is right', () => {
  expect(view(archive)).toEqual([]);
  expect(view(archive.slice(0, 2), archive.slice(2))).toEqual([]);
  const lost = [event('0'), event('1'), event('2', 'lost'), event('3', 'lost')];
  expect(view(lost, [rewind('1'), ...archive.slice(2)])).toEqual([]);
  expect(view(lost.slice(0, 3), [rewind('-1'), ...archive])).toEqual([]);
});

test.each([
  ['a doubled event', [archive[0], ...archive], 'again'],
  ['a hole', [archive[0], archive[1], archive[3]], 'silent hole'],
  ['an earlier attempt after a later one', [...archive.slice(0, 3), event('3')], 'attempt'],
  ['an event that Postgres does not have', [...archive, event('4-2')], '[I1]'],
  ['other data', [...archive.slice(0, 3), event('3-2', 'other')], '[I1]'],
  ['a false end', archive.slice(0, 3), 'ended after 3 of 4'],
  ['a rewind to nowhere', [...archive, rewind('7')], 'never had'],
])('%s is found in a view', (_what, events, words) => {
  expect(view(events as SseEvent[]).join('\n')).toContain(words);
});

test('a stream that went on somewhere else than where the client was is found', () => {
  const sessions = [
    { events: archive.slice(0, 2), ended: false },
    { after: '0', events: archive.slice(2), ended: true },
  ];
  expect(viewViolations(sessions, archive)).toHaveLength(1);
});

test('holes and falling terms are found in a log', () => {
  const rows = [1, 2, 3].map((seq) => ({ seq, term: seq }));
  expect(logViolations(rows)).toEqual([]);
  expect(logViolations(rows.slice(1))).toHaveLength(2);
  expect(logViolations([...rows, { seq: 4, term: 2 }])).toHaveLength(1);
});

test('what the graph counted and the archive lacks is found', () => {
  const count = (id: string, n: number, execution: string): SseEvent =>
    event(id, JSON.stringify({ n, execution }));
  const good = [count('0', 0, 'a'), count('1', 1, 'a'), count('2-2', 1, 'b'), count('3-2', 2, 'b')];
  expect(counterViolations(good, 3)).toEqual([]);
  expect(counterViolations(good, 4)).toHaveLength(1);
  expect(counterViolations([count('0', 0, 'a'), count('1', 2, 'a')], 3)).toHaveLength(1);
  expect(counterViolations([count('0', 0, 'a'), count('1-2', 2, 'b')], 3)).toHaveLength(1);
  expect(counterViolations([count('0', 0, 'a'), count('1', 1, 'b')], 2)).toHaveLength(1);
});

test('ends that differ are found', () => {
  const end = { row: 'success', api: 'success', archive, clients: [] };
  expect(endViolations(end)).toEqual([]);
  expect(endViolations({ ...end, api: 'interrupted' })).toHaveLength(1);
  expect(endViolations({ ...end, row: 'running', api: 'running' })).toHaveLength(1);
  expect(endViolations({ ...end, row: 'error', api: 'error' })).toHaveLength(1);
  expect(endViolations({ ...end, clients: [[{ events: [], ended: false }]] })).toHaveLength(1);
});
