/**
 * Which browsers may call. Any, unless langgraph.json says otherwise (`http.cors`); they may always read the headers
 * that a client needs to find its run again.
 */
import type { RequestHandler } from 'express';
import type { CorsSpec } from '../graphs/langgraph-json.ts';

const METHODS = 'GET,HEAD,PUT,POST,DELETE,PATCH';
const EXPOSED = ['content-location', 'location', 'x-pagination-total', 'x-pagination-next'];
/** How long a browser may keep the answer to a preflight. */
const MAX_AGE_S = 600;

/** Whether a page of `origin` may call. */
export function originRule(spec: CorsSpec = {}): (origin: string) => boolean {
  const { allow_origins: origins = spec.allow_origin_regex === undefined ? ['*'] : [] } = spec;
  const pattern =
    spec.allow_origin_regex === undefined
      ? undefined
      : new RegExp(`^(?:${spec.allow_origin_regex})$`);
  return (origin) =>
    origins.includes('*') || origins.includes(origin) || pattern?.test(origin) === true;
}

export function cors(spec: CorsSpec = {}): RequestHandler {
  const {
    allow_origins: origins = spec.allow_origin_regex === undefined ? ['*'] : [],
    allow_methods: methods,
    allow_headers: headers = ['*'],
    allow_credentials: credentials = false,
    expose_headers: exposed = [],
    max_age: maxAgeS = MAX_AGE_S,
  } = spec;
  // With credentials a browser takes no `*`: the origin is named.
  const anyone = origins.includes('*') && !credentials;
  const allowed = originRule(spec);
  const exposedText = [...new Set([...EXPOSED, ...exposed])].join(',');
  const methodsText = methods?.includes('*') === false ? methods.join(',') : METHODS;

  return (request, response, next) => {
    const { origin } = request.headers;
    const vary: string[] = [];
    if (anyone) response.setHeader('access-control-allow-origin', '*');
    else {
      vary.push('origin');
      if (origin !== undefined && allowed(origin)) {
        response.setHeader('access-control-allow-origin', origin);
        if (credentials) response.setHeader('access-control-allow-credentials', 'true');
      }
    }
    response.setHeader('access-control-expose-headers', exposedText);
    if (request.method !== 'OPTIONS') {
      if (vary.length > 0) response.setHeader('vary', vary.join(', '));
      next();
      return;
    }
    response.setHeader('access-control-allow-methods', methodsText);
    const asked = request.headers['access-control-request-headers'];
    const mayHave = headers.includes('*') ? asked : headers.join(',');
    if (mayHave !== undefined) response.setHeader('access-control-allow-headers', mayHave);
    response.setHeader('access-control-max-age', String(maxAgeS));
    response.setHeader('vary', [...vary, 'access-control-request-headers'].join(', '));
    response.statusCode = 204;
    response.end();
  };
}
