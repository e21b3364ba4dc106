// Checks that damaged headers and indexes are refused by name, and that nothing else comes out.
import { describe, expect, it } from 'vitest';
import { parseHeader } from '../../../src/engine/safetensors-header.ts';
import { parseShardIndex } from '../../../src/engine/safetensors-index.ts';
import { CheckpointError } from '../../../src/errors.ts';
import { FAULT_KINDS, fuzzFiles } from '../../helpers/header-fuzz.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('damaged files', () => {
  it('of 6,000 headers and 6,000 indexes are refused as CheckpointError, each fault by name', () => {
    const header = fuzzFiles('header', 6000, 1);
    const index = fuzzFiles('index', 6000, 2);
    for (const { intact, accepted } of [header, index]) {
      expect(intact).toBeGreaterThan(200);
      expect(accepted).toBeGreaterThan(intact);
      expect(accepted).toBeLessThan(5000);
    }
    // Two kinds are too dear to come up often; the next test has them.
    const rare = ['nests too deep', 'has more values'];
    for (const kind of FAULT_KINDS.filter((each) => !rare.includes(each))) {
      const seen = (header.refused.get(kind) ?? 0) + (index.refused.get(kind) ?? 0);
      expect(seen, kind).toBeGreaterThan(0);
    }
  });

  it('that nest a million levels or hold millions of values cost no memory and no stack', () => {
    for (const open of ['[', '{"a":', '{"a":[']) {
      const deep = bytesOf(open.repeat(1_000_000));
      expect(() => parseHeader(deep, 0, 'f')).toThrow(/f nests too deep[^]*at most 64 levels/);
      expect(() => parseShardIndex(deep, 'i')).toThrow(/i nests too deep/);
    }
    const closed = bytesOf(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
    expect(() => parseHeader(closed, 0, 'f')).toThrow(CheckpointError);
    const wide = bytesOf(`{"a":[${'[],'.repeat(3_000_000)}0]}`);
    expect(() => parseHeader(wide, 0, 'f')).toThrow(/f has more values[^]*6000002/);
    const quoted = bytesOf(`{"__metadata__":{"k":"${'[{,:'.repeat(2_000_000)}"}}`);
    expect(parseHeader(quoted, 0, 'f').metadata.get('k')?.length).toBe(8_000_000);
  });
});
