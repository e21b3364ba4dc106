// Tests `--device` of every command that runs a model: it is there, and fails before anything is read.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEVICES, missingProvider } from '../../../src/engine/device.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { inTemporaryFolder } from '../../helpers/mini-model.ts';

const ABSENT = DEVICES.filter((device) => missingProvider(device) !== undefined);

/** Command lines whose files do not exist. */
const LINES = [
  'pretrain --out @out',
  'capacity score --model @no --data @no --out @out',
  'pca fit --model @no --data @no --out @out',
  'train --variant gap --model @no --data @no --out @out',
  'generate --model @no --image @no question',
  'compare --model gap=@no --data @no --out @out',
  'forward --model @no --inputs @no --outputs @out',
  'forward --by-layer --model @no --inputs @no --outputs @out',
  'report --compare @no --out @out',
  'demo --quick --out @out',
];

describe.each(LINES)('gapvl %s', (line) => {
  it('says that a device is not on this platform, reads and writes nothing', async () => {
    expect(ABSENT.length).toBeGreaterThan(0);
    await inTemporaryFolder(async (folder) => {
      for (const device of ABSENT) {
        const argv = line.replaceAll('@', `${folder}/`).split(' ');
        const { code, out, err } = await gapvl([...argv, '--device', device]);
        expect(code, err).toBe(2);
        expect(out).toBe('');
        expect(err).toContain(`device ${device} is not on this platform`);
        expect(err).toContain('--device cpu');
        expect(existsSync(join(folder, 'out'))).toBe(false);
      }
    });
  });

  it('knows no other devices', async () => {
    const { code, err } = await gapvl([
      ...line.replaceAll('@', '/nowhere/').split(' '),
      '--device',
      'tpu',
    ]);
    expect(code).toBe(2);
    expect(err).toContain('one of cpu, webgpu, cuda, coreml, dml');
  });
});
