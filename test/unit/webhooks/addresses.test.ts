import { createAddressGuard, isInternal } from '../../../src/webhooks/addresses.ts';

test.each([
  '127.0.0.1',
  '10.1.2.3',
  '172.31.255.255',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '::',
  '::1',
  'fe80::1',
  'fd12:3456::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '::127.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001:0:7f00:1::',
  '2001:db8::1',
])('%s is internal', (address) => {
  expect(isInternal(address)).toBe(true);
});

test.each(['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])(
  '%s is public',
  (address) => {
    expect(isInternal(address)).toBe(false);
  },
);

const check = (allow: string, url: string): (() => void) => {
  const guard = createAddressGuard(allow);
  return () => {
    guard.check(new URL(url));
  };
};

test.each([
  'http://127.0.0.1/',
  'http://2130706433/',
  'http://0x7f.1/',
  'http://[::1]/',
  'http://[::ffff:127.0.0.1]/',
])('%s is refused, and the message says how to allow it', (url) => {
  expect(check('', url)).toThrow('WEBHOOK_ALLOW');
  expect(check('*', url)).not.toThrow();
});

test('addresses and networks are allowed, and only those', () => {
  const allow = '10.0.0.0/8, 127.0.0.1,fd00::/8';
  for (const url of ['http://10.9.8.7:1/', 'http://127.0.0.1/', 'http://[fd00::1]/'])
    expect(check(allow, url)).not.toThrow();
  for (const url of ['http://127.0.0.2/', 'http://192.168.0.1/', 'http://[fe80::1]/'])
    expect(check(allow, url)).toThrow('internal address');
});

test.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x', 'http://host', '*.', 'a b'])(
  'the list is checked: %s',
  (entry) => {
    expect(() => createAddressGuard(entry)).toThrow('WEBHOOK_ALLOW: expected');
  },
);

const resolve = (allow: string, host: string): Promise<string> =>
  new Promise((done, fail) => {
    createAddressGuard(allow).lookup(host, { all: true }, (error, found) => {
      if (error === null) done(JSON.stringify(found));
      else fail(error);
    });
  });

test('a name is judged by what it resolves to', async () => {
  await expect(resolve('', 'localhost')).rejects.toThrow('leads to the internal address');
  await expect(resolve('localhost', 'localhost')).resolves.toContain('address');
  await expect(resolve('*.example.org', 'localhost')).rejects.toThrow('internal');
  await expect(resolve('127.0.0.0/8,::1', 'localhost')).resolves.toContain('address');
});
