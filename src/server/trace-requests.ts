/** A span for each request, under the caller's when it sends `traceparent`; a stream's lasts as long as the stream. */
import type { RequestHandler } from 'express';
import { contextOf, failSpan, traced } from '../telemetry/tracing.ts';

/** Asked all the time, and about nothing. */
const QUIET = /^\/(ok|health|ready|metrics)/;

export const traceRequests: RequestHandler = (request, response, next) => {
  if (QUIET.test(request.path)) {
    next();
    return;
  }
  const { traceparent } = request.headers;
  traced(
    request.method,
    {
      parent: contextOf(typeof traceparent === 'string' ? traceparent : undefined),
      server: true,
      attributes: { 'http.request.method': request.method, 'url.path': request.path },
    },
    (span) => {
      response.once('close', () => {
        // Known once the request was routed; ids would make a name each.
        const route = (request.route as { path?: string } | undefined)?.path;
        if (route !== undefined) span.updateName(`${request.method} ${route}`);
        span.setAttribute('http.response.status_code', response.statusCode);
        if (response.statusCode >= 500) failSpan(span, String(response.statusCode));
        span.end();
      });
      next();
    },
  );
};
