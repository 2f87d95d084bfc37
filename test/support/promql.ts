/** What an expression of PromQL asks for: enough of its grammar to compare names and labels with what is exported. */

export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

export interface Asked {
  readonly selectors: readonly Selector[];
  /** Of `by (…)` and `without (…)`. */
  readonly grouping: readonly string[];
}

const WORDS = new Set([
  ...['by', 'without', 'on', 'ignoring', 'group_left', 'group_right', 'and', 'or', 'unless'],
  ...['bool', 'offset'],
]);

export function askedBy(expression: string): Asked {
  const grouping = [...expression.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list]) =>
    (list ?? '').split(',').map((label) => label.trim()),
  );
  // Strings hold label values; groupings hold label names; ranges hold durations.
  const rest = expression
    .replaceAll(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ');
  const selectors = [
    ...rest.matchAll(/([a-zA-Z_:][\w:]*)\s*(\(|\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?/g),
  ]
    // A name that is followed by "(" is a function; what is inside of a matcher is passed over with it.
    .filter(([, name = '', follows = '']) => follows !== '(' && !WORDS.has(name))
    .map(([, metric = '', , matchers = '']) => ({
      metric,
      labels: [...matchers.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"/g)].map(
        ([, label = '']) => label,
      ),
    }));
  return { selectors, grouping };
}
