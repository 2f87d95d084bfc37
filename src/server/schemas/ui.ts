/** Bodies and paths of UI bundles (HTTP.md, 3.6). */
import { z } from 'zod';
import { Text } from './common.ts';

export const UiPath = z.object({ agent: Text.min(1) });
export const UiFilePath = z.object({ agent: Text.min(1), file: Text.min(1) });
/** A component of the graph's bundle. */
export const UiAsk = z.strictObject({ name: Text.min(1) });
