/** The project's UI bundles, built once for all processes of `serve --processes`. */
import type { Config } from '../config.ts';
import { readLangGraphJson } from '../graphs/langgraph-json.ts';
import { buildUi } from '../server/ui-bundles.ts';
import type { Log } from '../telemetry/log.ts';
import type { Shared } from './processes.ts';
import { graphOptions } from './run-services.ts';

const NOTHING: Shared = { environment: {}, remove: () => Promise.resolve() };

/** Never rejects: when it fails each process tries by itself, and tells what is wrong to who asks for a component. */
export async function shareUi(config: Config, log: Log): Promise<Shared> {
  const { file } = graphOptions(config);
  if (file === undefined || config.UI_BUNDLES_DIR !== undefined) return NOTHING;
  try {
    const { ui, http } = readLangGraphJson(file);
    if (ui === undefined || http.disabled.includes('ui')) return NOTHING;
    const { folder, remove } = await buildUi(ui);
    log.info('UI bundles built', { graphs: Object.keys(ui.components) });
    return { environment: { UI_BUNDLES_DIR: folder }, remove };
  } catch (error) {
    log.warn('UI bundles are not shared', { error });
    return NOTHING;
  }
}
