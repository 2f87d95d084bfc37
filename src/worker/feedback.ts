/**
 * URLs under which a user of a run may give feedback, one a key, made by LangSmith. They come as the run's last
 * event. What LangSmith does wrong is reported and costs the run nothing but the event.
 */
import { z } from 'zod';

/** LangSmith may take this long for all of them; the run's end waits. */
const LIMIT_MS = 5_000;
/** How long the URLs are good for. */
const EXPIRES_HOURS = 3;

export interface LangSmith {
  readonly apiKey: string;
  readonly url: string;
}

const Token = z.looseObject({ url: z.string() });

/** @returns key → URL */
export async function feedbackUrls(
  langSmith: LangSmith,
  runId: string,
  keys: readonly string[],
): Promise<Record<string, string>> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  const made = keys.map(async (key): Promise<[string, string]> => {
    const response = await fetch(`${langSmith.url.replace(/\/$/, '')}/feedback/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': langSmith.apiKey },
      body: JSON.stringify({
        run_id: runId,
        feedback_key: key,
        expires_in: { hours: EXPIRES_HOURS },
      }),
      signal,
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`LangSmith answers ${response.status}: ${text.slice(0, 200)}`);
    return [key, Token.parse(JSON.parse(text)).url];
  });
  return Object.fromEntries(await Promise.all(made));
}
