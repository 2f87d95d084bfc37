/**
 * A graph's own React components, for pages that show them (LoadExternalComponent): one piece of HTML that loads
 * the bundle and renders a component, and the files of the bundle.
 */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { open, signedIn } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { InputInvalidError, sendText } from '../problem.ts';
import { UiAsk, UiFilePath, UiPath } from '../schemas/ui.ts';
import { bodyOf, pathOf } from './request.ts';

/** A name, IPv4 address or `[IPv6]`, with or without a port: what may stand in an address we write. */
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i;
/** Elsewhere the page's own protocol, because a proxy may have taken the TLS off. */
const LOCAL = /^(localhost|127\.0\.0\.1)(:|$)/;
const TYPES = new Map([
  ['js', 'text/javascript; charset=utf-8'],
  ['css', 'text/css; charset=utf-8'],
  ['map', 'application/json'],
  ['svg', 'image/svg+xml'],
]);

export function uiRoutes(context: RouteContext): Router {
  const { bundles } = context;
  const show: RequestHandler = (request, response) => {
    const { agent } = pathOf(UiPath, request);
    const { name } = bodyOf(UiAsk, request);
    const files = bundles.files(agent);
    if (files === undefined) {
      sendText(response, 404, `UI not found for agent "${agent}"`);
      return;
    }
    const host = request.headers.host ?? '';
    if (!HOST.test(host))
      throw new InputInvalidError(`Host: expected a host name, found ${JSON.stringify(host)}`);
    const base = `${LOCAL.test(host) ? 'http:' : ''}//${host}/ui/${encodeURIComponent(agent)}`;
    const styles = [...files.keys()]
      .filter((file) => file.endsWith('.css'))
      .map((file) => `<link rel="stylesheet" href="${base}/${encodeURIComponent(file)}" />`);
    // The bundle's global variable, as @langchain/langgraph-ui names it.
    const variable = `__LGUI_${agent.replace(/[^a-zA-Z0-9]/g, '_')}`;
    const call = `${variable}.render(${JSON.stringify(name)}, "{{shadowRootId}}")`;
    const script = `<script src="${base}/entrypoint.js" onload='${inAttribute(call)}'></script>`;
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end([...styles, script].join('\n'));
  };

  const file: RequestHandler = (request, response) => {
    const { agent, file: name } = pathOf(UiFilePath, request);
    const content = bundles.files(agent)?.get(name);
    if (content === undefined) {
      sendText(response, 404, `UI file not found: ${agent}/${name}`);
      return;
    }
    const type = TYPES.get(name.split('.').at(-1) ?? '') ?? 'application/octet-stream';
    response.setHeader('content-type', type);
    // Its name stays the same when it changes.
    response.setHeader('cache-control', 'no-cache');
    response.end(content);
  };

  const router = Router();
  router.post('/ui/:agent', signedIn(context, show));
  router.get('/ui/:agent/:file', open(file));
  return router;
}

/** Double quotes stay: the attribute has single ones. */
const inAttribute = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll("'", '&#39;').replaceAll('<', '&lt;');
