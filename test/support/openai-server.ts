/** An HTTP server that speaks the OpenAI streaming protocol, one behaviour a request. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

export interface ChatRequest {
  readonly headers: IncomingHttpHeaders;
  readonly body: {
    model: string;
    stream: boolean;
    messages: { role: string; content: string; tool_calls?: unknown[]; tool_call_id?: string }[];
    tools?: { function: { name: string } }[];
  };
}

type Behaviour = (response: ServerResponse, request: ChatRequest) => void;

export interface OpenAiServer {
  /** For OPENAI_BASE_URL. */
  readonly url: string;
  readonly requests: ChatRequest[];
  /** Taken one by one. */
  readonly behaviours: Behaviour[];
  /** When none is left. */
  otherwise: Behaviour;
  stop(): Promise<void>;
}

export const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({
    id: 'c1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'test',
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`;

const begin = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
};

export const says =
  (...tokens: string[]) =>
  (response: ServerResponse): void => {
    begin(response);
    for (const content of tokens) response.write(chunk({ content }));
    response.end(`${chunk({}, 'stop')}data: [DONE]\n\n`);
  };

/** A tool call, its arguments in two pieces. */
export const callsTool =
  (name: string, args: object) =>
  (response: ServerResponse): void => {
    begin(response);
    const json = JSON.stringify(args);
    const at = Math.floor(json.length / 2);
    const call = (piece: object): string => chunk({ tool_calls: [{ index: 0, ...piece }] });
    response.write(
      call({ id: 'call_x', type: 'function', function: { name, arguments: json.slice(0, at) } }),
    );
    response.write(call({ function: { arguments: json.slice(at) } }));
    response.end(`${chunk({}, 'tool_calls')}data: [DONE]\n\n`);
  };

export const refuses =
  (status: number, headers: Record<string, string> = {}, message = 'no') =>
  (response: ServerResponse): void => {
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify({ error: { message } }));
  };

/** Some tokens, then the connection is cut (`destroy`) or ended as if that were all (`end`). */
export const breaksOff =
  (how: 'destroy' | 'end', ...tokens: string[]) =>
  (response: ServerResponse): void => {
    begin(response);
    for (const content of tokens) response.write(chunk({ content }));
    if (how === 'end') response.end();
    else setImmediate(() => response.destroy());
  };

export async function startOpenAi(): Promise<OpenAiServer> {
  const requests: ChatRequest[] = [];
  const behaviours: Behaviour[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (data: Buffer) => chunks.push(data));
    request.on('end', () => {
      const given: ChatRequest = {
        headers: request.headers,
        body: JSON.parse(Buffer.concat(chunks).toString()) as ChatRequest['body'],
      };
      requests.push(given);
      (behaviours.shift() ?? models.otherwise)(response, given);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const models: OpenAiServer = {
    otherwise: says('ok'),
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/v1`,
    requests,
    behaviours,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return models;
}
