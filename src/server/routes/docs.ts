/** The API's own description, for programs and as a page. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { open } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { documentOf } from '../openapi/document.ts';
import { NOUNS } from '../openapi/nouns.ts';
import { pageOf } from '../openapi/page.ts';
import { sendJsonText } from '../respond.ts';
import { millraceVersion } from '../versions.ts';

export function docsRoutes({ auth }: Pick<RouteContext, 'auth'>): Router {
  let texts: { document: string; page: string } | undefined;
  /** Made when first asked for: most servers never are. */
  function rendered(): { document: string; page: string } {
    if (texts !== undefined) return texts;
    const document = documentOf(NOUNS, millraceVersion, { auth: auth !== undefined });
    return (texts = { document: JSON.stringify(document), page: pageOf(document) });
  }

  const document: RequestHandler = (_request, response) => {
    sendJsonText(response, rendered().document);
  };
  const page: RequestHandler = (_request, response) => {
    response.setHeader('content-type', 'text/html; charset=UTF-8');
    response.end(rendered().page);
  };

  const router = Router();
  router.get('/openapi.json', open(document));
  router.get('/docs', open(page));
  return router;
}
