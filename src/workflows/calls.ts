/**
 * `CALL: ask_node('teacher', 'What is it?')` in a text: the calls that a prompt or a model's reply makes.
 *
 * Models do not escape as programmers do. So a quote ends a text only where the rest of the call makes
 * sense after it: in `ask_node('teacher', 'What's Newton's law?')` the apostrophes belong to the text,
 * because no comma or bracket follows them. The first reading that makes a whole call is taken.
 */

/** Names of the calls and how many arguments each may have. */
export const CALLS = {
  ask_node: { parameters: ['target', 'question', 'context'], needed: 2 },
  broadcast_message: { parameters: ['message', 'target_types'], needed: 1 },
  set_shared_context: { parameters: ['key', 'value'], needed: 2 },
  get_shared_context: { parameters: ['key', 'default'], needed: 1 },
} as const;
export type CallName = keyof typeof CALLS;

export interface Call {
  readonly name: CallName;
  /** By parameter; those that were not given are absent. */
  readonly arguments: Readonly<Record<string, unknown>>;
  /** Its place in the text, from `CALL:` to after the bracket. */
  readonly start: number;
  readonly end: number;
}

/** A place that begins like a call and is none. */
export interface BadCall {
  readonly start: number;
  readonly end: number;
  readonly reason: string;
}

/** Calls of one text; the rest is taken for a model that does not end. */
export const CALLS_MAX = 20;
/** One call. */
const CALL_LENGTH_MAX = 50_000;
/** Characters that are looked at for one call, over all its readings. */
const STEPS_MAX = 200_000;

const HEAD = /\bCALL:\s*([A-Za-z_]\w*)\s*\(/g;

export function parseCalls(text: string): { calls: Call[]; bad: BadCall[] } {
  const calls: Call[] = [];
  const bad: BadCall[] = [];
  HEAD.lastIndex = 0;
  for (let head = HEAD.exec(text); head !== null; head = HEAD.exec(text)) {
    const [found, name = ''] = head;
    const start = head.index;
    const end = start + found.length;
    const refuse = (reason: string): void => {
      bad.push({ start, end, reason });
    };
    if (calls.length + bad.length >= CALLS_MAX) {
      refuse(`more than ${CALLS_MAX} calls`);
      break;
    }
    if (!isCallName(name)) {
      refuse(`there is no ${name}; there are ${Object.keys(CALLS).join(', ')}`);
      continue;
    }
    const parsed = new CallReader(text.slice(0, start + CALL_LENGTH_MAX), name).read(end);
    if (parsed === undefined) {
      const { parameters } = CALLS[name];
      refuse(`expected ${name}(${parameters.join(', ')}) with quoted texts`);
      continue;
    }
    calls.push({ name, arguments: parsed.values, start, end: parsed.end });
    HEAD.lastIndex = parsed.end;
  }
  return { calls, bad };
}

const isCallName = (name: string): name is CallName => Object.hasOwn(CALLS, name);

interface Parsed<T> {
  readonly value: T;
  readonly end: number;
}

const QUOTES = new Map([
  ["'", "'"],
  ['"', '"'],
  ['‘', '’'],
  ['“', '”'],
]);
const ESCAPES = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
]);
const WORDS = new Map<string, unknown>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['null', null],
  ['None', null],
]);

/** Reads one call with backtracking over the places where its texts may end. */
class CallReader {
  readonly #text: string;
  readonly #parameters: readonly string[];
  readonly #needed: number;
  #steps = 0;

  constructor(text: string, name: CallName) {
    this.#text = text;
    this.#parameters = CALLS[name].parameters;
    this.#needed = CALLS[name].needed;
  }

  /** @param at after the opening bracket */
  read(at: number): { values: Record<string, unknown>; end: number } | undefined {
    const found = this.#arguments(this.#space(at), {}, 0);
    return found && { values: found.value, end: found.end };
  }

  #arguments(
    at: number,
    given: Record<string, unknown>,
    place: number,
  ): Parsed<Record<string, unknown>> | undefined {
    const named = /^([A-Za-z_]\w*)\s*=\s*(?!=)/.exec(this.#text.slice(at, at + 80));
    const name = named?.[1] ?? this.#parameters[place];
    if (name === undefined || !this.#parameters.includes(name) || Object.hasOwn(given, name))
      return undefined;
    for (const { value, end } of this.#values(at + (named?.[0].length ?? 0))) {
      const next = this.#space(end);
      const values = { ...given, [name]: value };
      if (this.#text[next] === ')') {
        const whole = this.#parameters
          .slice(0, this.#needed)
          .every((each) => Object.hasOwn(values, each));
        if (whole) return { value: values, end: next + 1 };
      } else if (this.#text[next] === ',') {
        const rest = this.#arguments(this.#space(next + 1), values, place + 1);
        if (rest !== undefined) return rest;
      }
    }
    return undefined;
  }

  /** Every way to read a value here, the shortest first. */
  *#values(at: number): Generator<Parsed<unknown>> {
    const first = this.#text[at] ?? '';
    if (QUOTES.has(first)) {
      yield* this.#quoted(at);
      return;
    }
    if (first === '[' || first === '{') {
      const json = this.#json(at);
      if (json !== undefined) yield json;
      return;
    }
    const [word] = /^[\w.+-]+/.exec(this.#text.slice(at, at + 40)) ?? [];
    if (word === undefined) return;
    if (WORDS.has(word)) yield { value: WORDS.get(word), end: at + word.length };
    else if (/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(word))
      yield { value: Number(word), end: at + word.length };
  }

  *#quoted(at: number): Generator<Parsed<string>> {
    const close = QUOTES.get(this.#text[at] ?? '');
    let value = '';
    for (let i = at + 1; i < this.#text.length; i++) {
      if (++this.#steps > STEPS_MAX) return;
      const char = this.#text[i] ?? '';
      if (char === '\\' && i + 1 < this.#text.length) {
        const escaped = this.#text[++i] ?? '';
        value += ESCAPES.get(escaped) ?? escaped;
        continue;
      }
      // Whether it ends here is for the rest of the call to say.
      if (char === close && /^\s*[,)]/.test(this.#text.slice(i + 1, i + 40)))
        yield { value, end: i + 1 };
      value += char;
    }
  }

  /** A list or an object of plain JSON, also with single quotes. */
  #json(at: number): Parsed<unknown> | undefined {
    let depth = 0;
    let quote: string | undefined;
    for (let i = at; i < this.#text.length; i++) {
      if (++this.#steps > STEPS_MAX) return undefined;
      const char = this.#text[i] ?? '';
      if (quote !== undefined) {
        if (char === '\\') i++;
        else if (char === quote) quote = undefined;
      } else if (char === '"' || char === "'") quote = char;
      else if (char === '[' || char === '{') depth++;
      else if ((char === ']' || char === '}') && --depth === 0)
        return this.#parsedJson(this.#text.slice(at, i + 1), i + 1);
    }
    return undefined;
  }

  #parsedJson(text: string, end: number): Parsed<unknown> | undefined {
    for (const candidate of [text, text.replaceAll(/'([^'"\\]*)'/g, '"$1"')])
      try {
        return { value: JSON.parse(candidate) as unknown, end };
      } catch {
        // The next way to read it.
      }
    return undefined;
  }

  #space(at: number): number {
    let i = at;
    while (/\s/.test(this.#text[i] ?? '')) i++;
    return i;
  }
}
