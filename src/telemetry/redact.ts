/** What a log line must not hold. */

const HIDDEN = '***';
/**
 * `scheme://user:password@`, anywhere in a text: drivers put whole URLs into their messages. With bounds: texts come
 * from anywhere, and without them a megabyte of `a.a.a.` takes hours.
 */
const CREDENTIALS = /\b([a-z][a-z0-9+.-]{0,31}:\/\/[^\s:/@]{0,255}):[^\s/]{0,4095}@/gi;
/** Query parameters that carry a secret. */
const SECRET_PARAMETERS = /([?&](?:password|passwd|pwd|token|secret|api[_-]?key)=)[^&#\s]*/gi;
/** Names of fields whose value is a secret, whatever it is. */
const SECRET_FIELD =
  /^(?:.*[_-])?(?:password|passwd|secret|token|authorization|cookie|api[_-]?key)$/i;

/** The URL, or any text with URLs in it, with `***` for passwords. User, host and database stay readable. */
export function redactUrl(text: string): string {
  return text.replace(CREDENTIALS, `$1:${HIDDEN}@`).replace(SECRET_PARAMETERS, `$1${HIDDEN}`);
}

/** A field of a log line's context: secrets by name, and by URL in its text. */
export function redactField(name: string, value: unknown): unknown {
  if (SECRET_FIELD.test(name)) return HIDDEN;
  return typeof value === 'string' ? redactUrl(value) : value;
}
