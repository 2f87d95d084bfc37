import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort } from '../../../src/lib/free-port.ts';
import { createAddressGuard } from '../../../src/webhooks/addresses.ts';
import { callHttp } from '../../../src/workflows/http-call.ts';
import { createSecrets } from '../../../src/workflows/secrets.ts';

test('a limit may be a fraction of a millisecond', async () => {
  const port = await freePort();
  const call = callHttp(createAddressGuard('127.0.0.1'), {
    url: `http://127.0.0.1:${port}`,
    method: 'GET',
    headers: {},
    body: undefined,
    // 1004.9999999999999
    timeoutMs: 1.005 * 1_000,
    signal: new AbortController().signal,
    secrets: createSecrets({}),
  });
  await expect(call).rejects.toThrow(/^127\.0\.0\.1:\d+: .*ECONNREFUSED/);
});

test.each([
  ['escaped', JSON.stringify({ sent: 'quo"te\\slash' })],
  ['cut', `${'x'.repeat(292)}quo"te\\slash`],
])('a secret that the refusal says back is hidden, also %s', async (_, body) => {
  const server = createServer((_request, response) => response.writeHead(400).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const call = callHttp(createAddressGuard('127.0.0.1'), {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    method: 'GET',
    headers: {},
    body: undefined,
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    secrets: createSecrets({ TOKEN: 'quo"te\\slash' }),
  });
  const error: unknown = await call.catch((thrown: unknown) => thrown);
  server.close();
  expect(String(error)).toContain('answered 400');
  expect(String(error)).toContain('***');
  expect(String(error)).not.toContain('quo');
});
