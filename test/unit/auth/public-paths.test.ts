/** Only whole paths are public: what a router could read otherwise is not. */
import { isPublic } from '../../../src/server/auth/public-paths.ts';

test.each([
  '/ok',
  '/info',
  '/health',
  '/metrics',
  '/docs',
  '/openapi.json',
  '/ui/agent/entrypoint.js',
])('GET %s', (path) => {
  expect(isPublic('GET', path)).toBe(true);
  expect(isPublic('POST', path)).toBe(false);
});

test.each([
  '/',
  '/ok/',
  '/ok/../threads',
  '/OK',
  '//ok',
  '/info%2f..',
  '/ui',
  '/ui/../admin',
  '/ui/agent/../../admin',
  '/ui/%2e%2e/admin',
  '/ui/agent/..',
  '/ui\\..\\admin',
  '/uiadmin',
  '/threads',
])('%s is not', (path) => {
  expect(isPublic('GET', path)).toBe(false);
});
