/**
 * GET /threads/:id/stream: every run of a thread, as the runs' own streams show it.
 *
 *   run_modes     all events         lifecycle     where a run, or an attempt, begins and fails
 *   state_update  states after steps
 */
import { frameText } from '../frames.ts';
import { asStreamMode } from './as-stream-mode.ts';
import type { ThreadView } from './frames.ts';

export const THREAD_MODES = ['run_modes', 'lifecycle', 'state_update'] as const;
export type ThreadMode = (typeof THREAD_MODES)[number];

const LIFECYCLE = new Set(['metadata', 'error']);

export function threadModesView(modes: readonly ThreadMode[]): ThreadView {
  const takes = (type: string): boolean =>
    modes.includes('run_modes') ||
    (modes.includes('lifecycle') && LIFECYCLE.has(type)) ||
    (modes.includes('state_update') && (type === 'values' || type === 'updates'));
  return {
    key: [...modes].sort().join(' '),
    frame(event, _seq, id) {
      const shown = asStreamMode(event);
      if (shown === undefined || !takes(shown.type)) return undefined;
      return frameText(shown.type, shown.data, id);
    },
    rewind: (id) => frameText('rewind', JSON.stringify({ to: id }), id),
  };
}
