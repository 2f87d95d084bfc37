import { Writable } from 'node:stream';
import { createLog, type Log, type LogOptions } from '../../../src/telemetry/log.ts';

function capture(options: Partial<LogOptions> = {}): { log: Log; lines: () => string[] } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const log = createLog({ level: 'info', format: 'json', name: 'worker', stream, ...options });
  return { log, lines: () => text.split('\n').filter((line) => line !== '') };
}
const parsed = (lines: string[]): unknown[] => lines.map((line) => JSON.parse(line) as unknown);

test('a JSON line has time, level, name, message and the context of all parents', () => {
  const { log, lines } = capture();
  log.child({ run_id: 'r1' }).child({ attempt: 2 }).info('run claimed', { term: 7 });
  expect(parsed(lines())).toEqual([
    {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      level: 'info',
      name: 'worker',
      message: 'run claimed',
      run_id: 'r1',
      attempt: 2,
      term: 7,
    },
  ]);
});

test('below the level nothing is written', () => {
  const { log, lines } = capture({ level: 'warn' });
  log.info('no');
  log.debug('no');
  log.warn('yes');
  log.error('yes');
  expect(lines()).toHaveLength(2);
});

test('an error is written with all its causes', () => {
  const { log, lines } = capture();
  const root = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
  log.error('run failed', { error: new Error('cannot load the state', { cause: root }) });
  expect(parsed(lines())).toMatchObject([
    {
      error: [
        { name: 'Error', message: 'cannot load the state' },
        { name: 'Error', message: 'connection refused', code: 'ECONNREFUSED' },
      ],
    },
  ]);
});

test('a field of the context never replaces a field of the line', () => {
  const { log, lines } = capture();
  log.info('kept', { message: 'forged', level: 'error', name: 'other', time: 'never' });
  expect(parsed(lines())).toMatchObject([{ message: 'kept', level: 'info', name: 'worker' }]);
});

test('no password gets into a line, wherever it stands', () => {
  const url = 'postgres://app:hunter2@db:5432/millrace';
  for (const format of ['json', 'text'] as const) {
    const { log, lines } = capture({ format });
    log.error(`cannot reach ${url}`, {
      url,
      password: 'hunter2',
      nested: { redis_token: 'hunter2', urls: [url] },
      error: new Error('no route', { cause: new Error(`connect ${url}`) }),
    });
    expect(lines().join('\n')).toContain('postgres://app:***@db:5432/millrace');
    expect(lines().join('\n')).not.toContain('hunter2');
  }
});

test('what cannot be serialised does not break the caller', () => {
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  for (const format of ['json', 'text'] as const) {
    const { log, lines } = capture({ format });
    log.info('odd', { loop, big: 12n, undef: undefined });
    log.info('bigger', { big: 12n });
    expect(lines()).toHaveLength(2);
    expect(lines()[0]).toContain('odd');
    expect(lines()[1]).toContain('12');
  }
});

test('a text line is for people', () => {
  const { log, lines } = capture({ format: 'text' });
  log.child({ run_id: 'r1' }).warn('run retried', { reason: 'worker lost', attempt: 2 });
  expect(lines()[0]).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} warn {2}worker: run retried run_id=r1 reason="worker lost" attempt=2$/,
  );
});
