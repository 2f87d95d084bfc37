/**
 * Where the official server serves a graph's own React components. They are bundled by @langchain/langgraph-ui,
 * whose living version this server does not carry: the answer says so, instead of a bare 404.
 */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { open, signedIn } from '../auth/declare.ts';
import type { AuthDeps } from '../auth/declare.ts';
import { sendText } from '../problem.ts';

const absent: RequestHandler = (_request, response) => {
  sendText(response, 404, 'UI bundles ("ui" of langgraph.json) are not served by Millrace');
};

export function uiRoutes(context: AuthDeps): Router {
  const router = Router();
  router.post('/ui/:agent', signedIn(context, absent));
  router.get('/ui/:agent/:file', open(absent));
  return router;
}
