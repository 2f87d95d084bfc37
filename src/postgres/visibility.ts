/**
 * Which rows a caller may see: those whose metadata contain what its authorization says (src/auth). Whatever reads or
 * changes rows for a caller takes one, so that a route that has not asked has nothing to pass.
 *
 * One jsonb containment says it all, as one parameter: `{"owner": "ada"}` takes a row whose owner is exactly "ada"
 * (inside an object, containment compares scalars by value and type), `{"readers": ["ada"]}` one whose list has "ada".
 */
export interface Visibility {
  /** JSON text of an object; null: every row. */
  readonly metadata: string | null;
}

/** For what the server does by itself, and where no auth is configured. */
export const EVERYTHING: Visibility = Object.freeze({ metadata: null });

/** @param column a jsonb column. @param placeholder where `metadata` of the visibility is given, e.g. `$2` */
export const visibleSql = (column: string, placeholder: string): string =>
  `(${placeholder}::jsonb IS NULL OR ${column} @> ${placeholder}::jsonb)`;

/** The same for a row that belongs to a thread. @param threadId an expression */
export const visibleThreadSql = (threadId: string, placeholder: string): string =>
  `(${placeholder}::jsonb IS NULL OR EXISTS (
     SELECT 1 FROM threads v WHERE v.thread_id = ${threadId} AND v.metadata @> ${placeholder}::jsonb))`;
