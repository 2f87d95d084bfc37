/** A client of event streams that keeps the raw bytes as well as the frames. */
export interface Frame {
  event: string;
  data: unknown;
  id: string | undefined;
}

export interface SseClient {
  readonly status: number;
  readonly headers: Headers;
  /** Complete frames so far, without comments. */
  readonly frames: readonly Frame[];
  /** Everything so far. */
  readonly text: string;
  /** undefined while the response lasts; then how it ended. */
  readonly over: 'ended' | 'broken' | undefined;
  close(): void;
}

export async function openSseClient(url: string, init: RequestInit = {}): Promise<SseClient> {
  const abort = new AbortController();
  const response = await fetch(url, { ...init, signal: abort.signal });
  let text = '';
  let over: SseClient['over'];
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? [])
        text += decoder.decode(chunk as Uint8Array, { stream: true });
      over = 'ended';
    } catch {
      over = 'broken';
    }
  };
  void read();
  return {
    status: response.status,
    headers: response.headers,
    get frames() {
      return parseFrames(text);
    },
    get text() {
      return text;
    },
    get over() {
      return over;
    },
    close() {
      abort.abort();
    },
  };
}

function parseFrames(text: string): Frame[] {
  const blocks = text.split('\n\n').slice(0, -1);
  return blocks.map((block) => {
    const fields = new Map(
      block
        .split('\n')
        .filter((line) => !line.startsWith(':'))
        .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
    );
    return {
      event: fields.get('event') ?? '',
      data: JSON.parse(fields.get('data') ?? 'null') as unknown,
      id: fields.get('id'),
    };
  });
}
