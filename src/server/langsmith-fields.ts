/**
 * What a run asks of LangSmith. Without LangSmith it cannot be done, and is refused before there is a run: the
 * official server lets such a run fail at its very end.
 */
import { InputInvalidError } from './problem.ts';
import type { RunCreate } from './schemas/run.ts';

type Asked = Pick<RunCreate, 'feedback_keys' | 'langsmith_tracer'>;

/** @throws {InputInvalidError} */
export function refuseWithoutLangSmith(langSmith: object | undefined, asked: Asked): void {
  if (langSmith !== undefined) return;
  const field =
    (asked.feedback_keys?.length ?? 0) > 0
      ? 'feedback_keys'
      : asked.langsmith_tracer?.project_name == null
        ? undefined
        : 'langsmith_tracer';
  if (field !== undefined)
    throw new InputInvalidError(
      `${field}: expected none, because this server has no LangSmith (LANGSMITH_API_KEY)`,
    );
}

/** As the official server hands it on: in the configuration of this one run. */
export function tracerFields({ langsmith_tracer: tracer }: Asked): Record<string, string> {
  if (tracer?.project_name == null) return {};
  return {
    langsmith_project: tracer.project_name,
    ...(tracer.example_id == null ? {} : { langsmith_example_id: tracer.example_id }),
  };
}
