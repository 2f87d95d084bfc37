/**
 * `{{name}}` and `{{name.field[0].more}}` in texts, and in any JSON around them. A text is gone through
 * once: what a value contains is never read as a template again.
 */
import { valuesAt } from '../lib/json-path.ts';

const PLACE = /\{\{\s*([A-Za-z_][\w-]*)((?:\.[\w-]+|\[-?\d+\])*)\s*\}\}/g;
const WHOLE = new RegExp(`^\\s*${PLACE.source}\\s*$`);
/** A place that a text begins with. */
export const PLACE_AT_START = new RegExp(`^${PLACE.source}`);
/** Braces that are no place: a typing error that would otherwise show in the output. */
const BRACES = /\{\{((?:(?!\{\{|\}\}).)*)\}\}/g;

export interface Place {
  /** What stands between the braces. */
  readonly text: string;
  /** Variable, node or built-in name. */
  readonly name: string;
  /** `.field[0]`, or nothing. */
  readonly path: string;
}

/** Looks a name up. @returns undefined when it has no value now */
export type Lookup = (place: Place) => unknown;

/** All places of a template, in any depth. */
export function placesOf(template: unknown): Place[] {
  return textsOf(template).flatMap((text) =>
    [...text.matchAll(PLACE)].map(([, name = '', path = '']) => ({
      text: name + path,
      name,
      path,
    })),
  );
}

/** Pairs of braces that are no place. */
export function badBraces(template: unknown): string[] {
  return textsOf(template).flatMap((text) =>
    [...text.replaceAll(PLACE, '').matchAll(BRACES)].map(([found]) => found),
  );
}

/** A text that is nothing but one place becomes the value itself; else values become text. */
export function render(template: unknown, lookup: Lookup): unknown {
  if (typeof template === 'string') {
    const [, name, path = ''] = WHOLE.exec(template) ?? [];
    return name === undefined
      ? renderText(template, lookup)
      : (lookup({ text: name + path, name, path }) ?? null);
  }
  if (Array.isArray(template)) return template.map((each) => render(each, lookup));
  if (typeof template !== 'object' || template === null) return template;
  return Object.fromEntries(
    Object.entries(template).map(([key, value]) => [key, render(value, lookup)]),
  );
}

export const renderText = (template: string, lookup: Lookup): string =>
  template.replaceAll(PLACE, (_, name: string, path: string) =>
    textOf(lookup({ text: name + path, name, path })),
  );

/** What the path leads to inside of `value`; undefined: nothing. */
export const at = (value: unknown, path: string): unknown =>
  path === '' ? value : valuesAt(value, path)[0];

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function textsOf(template: unknown): string[] {
  if (typeof template === 'string') return [template];
  if (typeof template !== 'object' || template === null) return [];
  return Object.values(template).flatMap(textsOf);
}
