/** Browsers of any origin may call; they may read the headers that a client needs to find its run again. */
import type { RequestHandler } from 'express';

const METHODS = 'GET,HEAD,PUT,POST,DELETE,PATCH';
const EXPOSED = 'content-location,location,x-pagination-total,x-pagination-next';
/** How long a browser may keep the answer to a preflight. */
const MAX_AGE_S = '600';

export const cors: RequestHandler = (request, response, next) => {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', EXPOSED);
  if (request.method !== 'OPTIONS') {
    next();
    return;
  }
  response.setHeader('access-control-allow-methods', METHODS);
  const asked = request.headers['access-control-request-headers'];
  if (asked !== undefined) response.setHeader('access-control-allow-headers', asked);
  response.setHeader('access-control-max-age', MAX_AGE_S);
  response.setHeader('vary', 'access-control-request-headers');
  response.statusCode = 204;
  response.end();
};
