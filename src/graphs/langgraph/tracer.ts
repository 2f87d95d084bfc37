/**
 * `langsmith_tracer` of a run: it is traced in that project as well as in the one of the environment. The library takes
 * LangSmith's key and address from the environment, sends in the background and holds no run up.
 */
import { LangChainTracer } from '@langchain/core/tracers/tracer_langchain';

/** @returns undefined when the run asks for none */
export function tracerOf(
  configurable: Readonly<Record<string, unknown>>,
): LangChainTracer | undefined {
  const { langsmith_project: project, langsmith_example_id: exampleId } = configurable;
  if (typeof project !== 'string') return undefined;
  const fields = typeof exampleId === 'string' ? { reference_example_id: exampleId } : undefined;
  const { projectName = 'default' } = new LangChainTracer();
  return new LangChainTracer({
    replicas: [
      [project, fields],
      [projectName, undefined],
    ],
  });
}
