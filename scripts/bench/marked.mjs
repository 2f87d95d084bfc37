/** Generated tables in documents: what stands between `<!-- name -->` and `<!-- /name -->` is written by a script. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Replaces the marked parts of a file; a file that is not there yet becomes all of them.
 * @param parts name → text
 * @throws when the file is there and has none of the marks: it is somebody else's
 */
export function writeMarked(file, parts) {
  if (!existsSync(file)) {
    const texts = Object.values(parts).map((part) => part.trim());
    writeFileSync(file, `${texts.filter((text) => text !== '').join('\n\n')}\n`);
    return;
  }
  let text = readFileSync(file, 'utf8');
  let found = false;
  for (const [name, part] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const from = text.indexOf(begin);
    const to = text.indexOf(end, from);
    if (from === -1 || to === -1) continue;
    found = true;
    text = `${text.slice(0, from + begin.length)}\n\n${part.trim()}\n\n${text.slice(to)}`;
  }
  if (!found)
    throw new Error(
      `${file} exists and has no ${Object.keys(parts)
        .map((name) => `<!-- ${name} -->`)
        .join(' or ')}`,
    );
  writeFileSync(file, text);
}
