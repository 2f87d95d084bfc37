/** The API's own description, for programs and as a page. */
import { Router } from 'express';
import { documentOf } from '../openapi/document.ts';
import { NOUNS } from '../openapi/nouns.ts';
import { pageOf } from '../openapi/page.ts';
import { sendJsonText } from '../respond.ts';
import { millraceVersion } from '../versions.ts';

export function docsRoutes(): Router {
  let texts: { document: string; page: string } | undefined;
  /** Made when first asked for: most servers never are. */
  function rendered(): { document: string; page: string } {
    if (texts !== undefined) return texts;
    const document = documentOf(NOUNS, millraceVersion);
    return (texts = { document: JSON.stringify(document), page: pageOf(document) });
  }

  const router = Router();
  router.get('/openapi.json', (_request, response) => {
    sendJsonText(response, rendered().document);
  });
  router.get('/docs', (_request, response) => {
    response.setHeader('content-type', 'text/html; charset=UTF-8');
    response.end(rendered().page);
  });
  return router;
}
