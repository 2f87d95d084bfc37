/**
 * What steers a graph. RemoteGraph sends LangGraph.js's own Command and Send as they write themselves to JSON, with
 * `lg_name` and, in a Send, `args` for what the API calls `input`.
 */
import { z } from 'zod';

type Fields = Record<string, unknown>;
const isLibrary = (value: unknown, name: 'Command' | 'Send'): value is Fields =>
  typeof value === 'object' && value !== null && (value as Fields)['lg_name'] === name;

export const CommandFields = z.preprocess(
  inOurForm,
  z.strictObject({
    resume: z.unknown().optional(),
    update: z.unknown().optional(),
    goto: z.unknown().optional(),
  }),
);

/** A Command of the library where an input is expected. */
export const isLibraryCommand = (input: unknown): input is Fields => isLibrary(input, 'Command');

function inOurForm(value: unknown, context: z.RefinementCtx): unknown {
  if (!isLibraryCommand(value)) return value;
  const { lg_name: _name, goto, ...command } = value;
  const target = (to: unknown): unknown => {
    if (!isLibrary(to, 'Send')) return to;
    const { node, args: input, timeout } = to;
    if (timeout != null)
      context.addIssue({
        code: 'custom',
        path: ['goto', 'timeout'],
        message: 'a Send to a server has no timeout of its own',
      });
    return { node, input };
  };
  if (goto === undefined) return command;
  return { ...command, goto: Array.isArray(goto) ? goto.map(target) : target(goto) };
}
