/** What runs need of LangSmith: it takes traces and gives feedback URLs, and shows everything it was sent. */
import { createServer } from 'node:http';

export interface LangSmith {
  readonly url: string;
  stop(): Promise<void>;
}

/** `GET /sent?of=text` lists the requests whose body has the text, as `{path, key, text}`. */
export async function startLangSmith(): Promise<LangSmith> {
  const sent: { path: string; key: unknown; text: string }[] = [];
  const server = createServer((request, response) => {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', 'http://langsmith');
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const answer = (value: unknown): void => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(value));
      };
      if (path === '/sent') {
        answer(sent.filter((one) => one.text.includes(searchParams.get('of') ?? '')));
        return;
      }
      sent.push({ path, key: request.headers['x-api-key'], text });
      if (path === '/feedback/tokens') {
        const { run_id: runId, feedback_key: key } = JSON.parse(text) as Record<string, string>;
        if (key === 'broken') response.writeHead(500).end('no tokens today');
        else answer({ id: key, url: `http://feedback/${runId}/${key}`, expires_at: null });
      } else if (path === '/info')
        answer({ version: '0', batch_ingest_config: { use_multipart_endpoint: false } });
      else response.writeHead(202).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
