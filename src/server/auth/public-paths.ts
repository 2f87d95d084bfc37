/**
 * What is answered without asking who it is: what load balancers, scrapers and clients need first. None of it names a
 * user's data: /metrics and /ready count, /openapi.json and /docs are the same for every deployment.
 *
 * These are whole paths, compared as they come: a prefix could be left again by `..`, which the project's
 * own routes would resolve.
 */
export const PUBLIC_PATHS: ReadonlySet<string> = new Set([
  '/docs',
  '/health',
  '/info',
  '/metrics',
  '/metrics/workers',
  '/ok',
  '/openapi.json',
  '/ready',
]);

/** Assets of user interfaces, which browsers ask for with no header of ours. */
const UI_ASSET = /^\/ui\/[a-z0-9_][\w-]*\/[a-z0-9_][\w.-]*$/i;

export const isPublic = (method: string, path: string): boolean =>
  (method === 'GET' || method === 'HEAD') && (PUBLIC_PATHS.has(path) || UI_ASSET.test(path));
