// Owns one try of one device in a process of its own; `gapvl doctor` starts it and reads its one line.
import { deviceFault, missingProvider } from '../engine/device.ts';
import { requireDevice } from '../engine/session.ts';
import type { Device } from '../engine/session.ts';
import { GapvlError } from '../errors.ts';
import type { ErrorParts } from '../errors.ts';
import { tryOperations } from './operation-probes.ts';

const device = (process.argv[2] ?? 'cpu') as Device;

async function probe(): Promise<unknown> {
  try {
    await requireDevice(device);
  } catch (thrown) {
    const parts: ErrorParts =
      thrown instanceof GapvlError ? thrown.parts : deviceFault(device, String(thrown));
    return { fault: parts.got ?? parts.what, fix: (missingProvider(device) ?? parts).fix };
  }
  return { fault: '', operations: await tryOperations(device) };
}

process.stdout.write(`${JSON.stringify(await probe())}\n`);
