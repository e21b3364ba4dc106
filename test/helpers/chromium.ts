// Owns a real browser for tests of pages; it says how to get one where there is none.
import { existsSync } from 'node:fs';
import { launch } from 'puppeteer-core';
import type { Browser } from 'puppeteer-core';

const USUAL_PLACES = [
  ...['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The program, by CHROMIUM_PATH or where systems have it. */
export function chromiumPath(
  told: string | undefined = process.env['CHROMIUM_PATH'],
  places: readonly string[] = USUAL_PLACES,
): string {
  if (told !== undefined && told !== '') {
    if (existsSync(told)) return told;
    throw new Error(`CHROMIUM_PATH names ${told}, which is not there`);
  }
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new Error(
    'no Chromium was found, and tests of pages need one: run `apt-get install chromium`, ' +
      'or set CHROMIUM_PATH to the program',
  );
}

/** Starts the browser, without a window and without a host to talk to. */
export function startChromium(): Promise<Browser> {
  return launch({
    executablePath: chromiumPath(),
    // Containers that run tests as root have no sandbox to offer; pages here are our own.
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  });
}
