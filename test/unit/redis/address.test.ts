/** What REDIS_URL may say. */
import { readConfig } from '../../../src/config.ts';
import { parseRedisAddress } from '../../../src/redis/address.ts';

test('one server', () => {
  expect(parseRedisAddress('rediss://u:p@h:1/2')).toEqual({
    kind: 'single',
    url: 'rediss://u:p@h:1/2',
  });
});

test('a cluster: nodes, credentials, TLS', () => {
  expect(parseRedisAddress('rediss-cluster://ann:p%40ss@a:7000,b,[::1]:7002')).toEqual({
    kind: 'cluster',
    tls: true,
    username: 'ann',
    password: 'p@ss',
    nodes: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 6379 },
      { host: '::1', port: 7002 },
    ],
  });
});

test('sentinels: the name of the master, a password of their own', () => {
  expect(
    parseRedisAddress('redis-sentinel://:secret@a:1,b/mymaster?db=2&sentinel_password=s2'),
  ).toEqual({
    kind: 'sentinel',
    tls: false,
    username: undefined,
    password: 'secret',
    sentinels: [
      { host: 'a', port: 1 },
      { host: 'b', port: 26_379 },
    ],
    master: 'mymaster',
    db: 2,
    sentinelPassword: 's2',
  });
});

test.each([
  'http://h',
  'redis-cluster://a:x',
  'redis-cluster://a:1,,b:2',
  'redis-cluster://a:1/0',
  'redis-sentinel://a:1',
  'redis-sentinel://a:1/m?db=x',
  'nonsense',
])('%s is refused, with what was expected', (text) => {
  expect(() => readConfig({ REDIS_URL: text })).toThrow(/REDIS_URL: expected redis:\/\/host:port/);
});

test('a password does not show in the refusal', () => {
  expect(() => readConfig({ REDIS_URL: 'redis-cluster://u:geheim@a:x' })).toThrow(
    /^((?!geheim).)*$/,
  );
});
