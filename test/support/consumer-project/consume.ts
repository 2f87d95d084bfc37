/** A project's own consumer: keeps what it is given, and fails as it is told. */
interface Given {
  thread_id: string;
  replay: boolean;
  events: { id: string; type: string; data: unknown }[];
}

const kept = globalThis as { consumed?: Given[] };

export function consume(batch: Given): void {
  (kept.consumed ??= []).push(batch);
  if (batch.events.some(({ data }) => data === 'poison')) throw new Error('poison');
}
