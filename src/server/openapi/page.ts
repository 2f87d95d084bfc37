/**
 * The API's document as a page: plain HTML without scripts, fonts or anything else to fetch, so it works where
 * the server has no way to the internet. The viewers on npm are megabytes for what a list does.
 */
import type { Document } from './document.ts';

type Fields = Record<string, unknown>;

const ESCAPES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
]);
const escape = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (character) => ESCAPES.get(character) ?? '');
/** Escaped, with `code` marked up. */
const prose = (text: string): string => escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');

const STYLE = `
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
  summary { cursor: pointer } summary b { display: inline-block; width: 4.5rem } summary span { opacity: .7 }
  pre { overflow: auto; background: #8881; padding: .6rem; border-radius: 6px; font-size: 13px }
  table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }`;

export function pageOf(document: Document): string {
  const { info, tags, paths, components } = document;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const sections = tags.map(
    ({
      name,
      description,
    }) => `<h2 id="${escape(name)}">${escape(name)}</h2><p>${prose(description)}</p>
      ${operations
        .filter(({ operation }) => (operation['tags'] as string[]).includes(name))
        .map(operationHtml)
        .join('\n')}`,
  );
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="schema-${escape(name)}"><summary>${escape(name)}</summary>${schemaHtml(schema)}</details>`,
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(String(info['title']))} API</title><style>${STYLE}</style>
<h1>${escape(String(info['title']))} <small>${escape(String(info['version']))}</small></h1>
<p>${prose(String(info['description']))}. For programs: <a href="openapi.json">openapi.json</a>.</p>
<p>${tags.map(({ name }) => `<a href="#${escape(name)}">${escape(name)}</a>`).join(' · ')} · <a href="#schemas">Schemas</a></p>
${sections.join('\n')}
<h2 id="schemas">Schemas</h2>
${schemas.join('\n')}
</html>
`;
}

function operationHtml(row: { path: string; method: string; operation: Fields }): string {
  const { path, method, operation } = row;
  const { summary, description, parameters, requestBody, responses } = operation as {
    summary: string;
    description?: string;
    parameters: {
      name: string;
      in: string;
      required?: boolean;
      description?: string;
      schema: unknown;
    }[];
    requestBody?: { content: Record<string, { schema: unknown }> };
    responses: Record<
      string,
      { description: string; content?: Record<string, { schema: unknown }> }
    >;
  };
  const rows = parameters.map(
    (parameter) =>
      `<tr><td><code>${escape(parameter.name)}</code><td>${parameter.in}${parameter.required ? ', required' : ''}<td>${prose(parameter.description ?? '')} <code>${escape(JSON.stringify(parameter.schema))}</code>`,
  );
  const answers = Object.entries(responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? [];
    const schema = Number(status) < 300 && content !== undefined ? schemaHtml(content.schema) : '';
    return `<tr><td>${status}<td>${prose(answer.description)}<td>${type ?? ''}${schema}`;
  });
  const [body] = Object.values(requestBody?.content ?? {});
  return `<details><summary><b>${method.toUpperCase()}</b> <code>${escape(path)}</code> <span>${prose(summary)}</span></summary>
    ${description === undefined ? '' : `<p>${prose(description)}</p>`}
    ${rows.length === 0 ? '' : `<h4>Parameters</h4><table>${rows.join('')}</table>`}
    ${body === undefined ? '' : `<h4>Body</h4>${schemaHtml(body.schema)}`}
    <h4>Answers</h4><table>${answers.join('')}</table></details>`;
}

/** JSON, in which the names of schemas are links. */
function schemaHtml(schema: unknown): string {
  const text = escape(JSON.stringify(schema, null, 2));
  return `<pre>${text.replaceAll(/#\/components\/schemas\/(\w+)/g, '<a href="#schema-$1">$1</a>')}</pre>`;
}
