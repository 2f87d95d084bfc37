import { freePort } from '../../../src/lib/free-port.ts';
import { createAddressGuard } from '../../../src/webhooks/addresses.ts';
import { callHttp } from '../../../src/workflows/http-call.ts';

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
  });
  await expect(call).rejects.toThrow(/^127\.0\.0\.1:\d+: .*ECONNREFUSED/);
});
