/** Texts of a megabyte that make careless patterns try for hours. The limit is wide: a pattern that is linear takes milliseconds. */
import { badBraces } from '../../../src/workflows/template.ts';
import { valuesAt } from '../../../src/lib/json-path.ts';
import { redactField, redactUrl } from '../../../src/telemetry/redact.ts';
import { parseEventId } from '../../../src/server/event-id.ts';
import { decodeLiveMessage } from '../../../src/events/event.ts';

const LENGTH = 1_000_000;
const LIMIT_MS = 2_000;
const hostile = [
  'a.',
  'a://',
  'a://b:',
  '&token=',
  'x-',
  '_',
  '1',
  '1-',
  '[',
  '[1]',
  ' ',
  '@',
  '/',
  '{',
  '{{a',
].map((part) => part.repeat(LENGTH / part.length));

test.each([
  ['redactUrl', redactUrl],
  ['redactField', (text: string) => redactField(text, text)],
  ['parseEventId', parseEventId],
  ['valuesAt', (text: string) => valuesAt({ a: [] }, text)],
  ['badBraces', badBraces],
  ['decodeLiveMessage', (text: string) => decodeLiveMessage('t', text)],
] as [string, (text: string) => unknown][])('%s takes linear time', (_name, pattern) => {
  for (const text of hostile) {
    const from = performance.now();
    try {
      pattern(text);
    } catch {
      // Refusing it is an answer.
    }
    expect([text.slice(0, 8), performance.now() - from < LIMIT_MS]).toEqual([
      text.slice(0, 8),
      true,
    ]);
  }
});
