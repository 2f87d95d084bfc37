import { redactField, redactUrl } from '../../../src/telemetry/redact.ts';

test.each([
  ['postgres://app:pw@db:5432/x', 'postgres://app:***@db:5432/x'],
  ['redis://:pw@cache:6379', 'redis://:***@cache:6379'],
  ['rediss://app:p%40w:x@cache/0', 'rediss://app:***@cache/0'],
  ['postgres://app:p@w@db/x', 'postgres://app:***@db/x'],
  ['see http://a:b@c/ and http://d:e@f/', 'see http://a:***@c/ and http://d:***@f/'],
  ['postgres://db/x?user=app&password=pw&a=1', 'postgres://db/x?user=app&password=***&a=1'],
  ['https://host:8080/path', 'https://host:8080/path'],
  ['postgres://app@db:5432/x', 'postgres://app@db:5432/x'],
  ['mail to me@host: now', 'mail to me@host: now'],
])('%s', (url, redacted) => {
  expect(redactUrl(url)).toBe(redacted);
});

test('hides fields by name', () => {
  for (const name of ['password', 'api_key', 'x-api-key', 'Authorization', 'auth_token', 'cookie'])
    expect(redactField(name, 'v')).toBe('***');
  for (const name of ['tokens_used', 'key', 'run_id', 'secretary'])
    expect(redactField(name, 'v')).toBe('v');
});
