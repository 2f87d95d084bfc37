/**
 * Secrets of workflows: variables of the environment that begin with WORKFLOW_SECRET_, and no others. A
 * document names one as `{{secret.NAME}}`; its value is put in at the moment of use and goes into no state, no
 * event and no message of an error.
 */
import { AppError } from '../errors.ts';
import { placesOf, renderText } from './template.ts';
import type { Lookup } from './template.ts';

/** The name that templates know them under. */
export const SECRET = 'secret';
const HIDDEN = '***';
/** Shorter values occur by chance: hiding them would garble everything. */
const HIDDEN_LENGTH_MIN = 4;

export class SecretMissingError extends AppError {
  readonly code = 'node_failed';
}

export interface Secrets {
  /** @throws {SecretMissingError} */
  get(name: string): string;
  /** The value with every secret in it replaced, in any depth. */
  scrub<T>(value: T): T;
}

/** @param values by name, without the prefix */
export function createSecrets(values: Readonly<Record<string, string>>): Secrets {
  const hidden = Object.values(values)
    .filter((value) => value.length >= HIDDEN_LENGTH_MIN)
    // A secret that is part of another one must not leave the rest of that behind.
    .sort((a, b) => b.length - a.length);
  const scrubText = (text: string): string =>
    hidden.reduce((rest, value) => rest.replaceAll(value, HIDDEN), text);
  const scrub = (value: unknown): unknown => {
    if (typeof value === 'string') return scrubText(value);
    if (Array.isArray(value)) return value.map(scrub);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => [scrubText(key), scrub(child)]),
    );
  };
  return {
    get(name) {
      if (!Object.hasOwn(values, name))
        throw new SecretMissingError(
          `the environment of the worker has no WORKFLOW_SECRET_${name}`,
        );
      return values[name] ?? '';
    },
    scrub: (value) => scrub(value) as typeof value,
  };
}

/** Names of the secrets in a template. */
export const secretNamesOf = (template: string): string[] =>
  placesOf(template)
    .filter(({ name }) => name === SECRET)
    .map(({ path }) => path.slice(1));

/** @throws {SecretMissingError} */
export const renderWithSecrets = (template: string, lookup: Lookup, secrets: Secrets): string =>
  renderText(template, (place) =>
    place.name === SECRET ? secrets.get(place.path.slice(1)) : lookup(place),
  );
