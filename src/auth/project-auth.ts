/** The auth of a project (langgraph.json, `auth`), ready to be asked. */
import type { AuthSpec } from '../graphs/langgraph-json.ts';
import { loadAuth } from './auth-object.ts';
import { createAuthGate } from './gate.ts';
import type { AuthGate } from './gate.ts';

/**
 * LangGraph Studio sends `x-auth-scheme: langsmith` and is let in on its word. So outside development it is only where the file
 * says `disable_studio_auth: false`.
 * @returns undefined: the project has none, and everybody may do everything
 * @throws {GraphInvalidError | AuthInvalidError}
 */
export async function createProjectAuth(
  spec: AuthSpec | undefined,
  options: { readonly development: boolean; warn(text: string): void },
): Promise<AuthGate | undefined> {
  if (spec === undefined) return undefined;
  const { disableStudioAuth } = spec;
  const studio = disableStudioAuth === undefined ? options.development : !disableStudioAuth;
  const gate = createAuthGate(await loadAuth(spec), { studio });
  if (studio)
    options.warn(
      'auth: whoever sends "x-auth-scheme: langsmith" is let in as LangGraph Studio; set auth.disable_studio_auth to true to refuse it',
    );
  return gate;
}
