// Owns the tests of progress output; vitest runs it.
import { describe, expect, it } from 'vitest';
import { createProgress, formatDuration, formatRate } from '../../../src/cli/progress.ts';
import type { ProgressMode } from '../../../src/cli/progress.ts';

function stage(mode: ProgressMode, columns = 120) {
  let ms = 0;
  const written: string[] = [];
  const clock = { now: () => ms, date: () => '2026-01-01T00:00:00Z' };
  const progress = createProgress('train', {
    mode,
    clock,
    columns,
    write: (text) => written.push(text),
  });
  return { progress, written, wait: (by: number) => void (ms += by) };
}

describe('progress', () => {
  it('redraws one line with a bar, the rate and the time left', () => {
    const { progress, written, wait } = stage('bar');
    progress.update(0, 200);
    wait(2000);
    progress.update(50, 200, 'loss 0.43');
    expect(written.at(-1)).toBe(
      `\r\u001b[2Ktrain  ${'━'.repeat(6)}${'╌'.repeat(18)}  50/200  25.0/s  0:06 left  loss 0.43`,
    );
  });

  it('measures the rate of a resumed stage from where it resumed', () => {
    const { progress, written, wait } = stage('bar');
    progress.update(1000, 1100);
    wait(1000);
    progress.update(1010, 1100);
    expect(written.at(-1)).toContain('10.0/s  0:09 left');
  });

  it('redraws at most ten times a second however often it is told', () => {
    const { progress, written, wait } = stage('bar');
    for (let i = 0; i < 1000; i++) {
      progress.update(i, 1000);
      wait(1);
    }
    expect(written.length).toBe(10);
  });

  it('writes whole lines every ten seconds into a log', () => {
    const { progress, written, wait } = stage('lines');
    for (let i = 0; i <= 30; i++) {
      progress.update(i, 100);
      wait(1000);
    }
    progress.finish('done');
    expect(written).toHaveLength(5);
    expect(written.every((line) => line.endsWith('\n') && !line.includes('\u001b'))).toBe(true);
    expect(written.at(-1)).toBe('train  30/100  in 0:31  done\n');
  });

  it('writes nothing when silent', () => {
    const { progress, written } = stage('silent');
    progress.update(1, 2);
    progress.finish();
    expect(written).toEqual([]);
  });

  it('never lets a note break out of its line or its width', () => {
    const { progress, written } = stage('bar', 40);
    progress.update(1, 2, 'a\nb\u001b[31mc'.repeat(20));
    expect(written.at(-1)).not.toMatch(/\n|\u001b\[31/);
    expect((written.at(-1) ?? '').replace('\r\u001b[2K', '')).toHaveLength(39);
  });

  it('shows a count without a bar when the total is not known, and ends once', () => {
    const { progress, written, wait } = stage('bar');
    progress.update(12, 0);
    expect(written.at(-1)).toBe('\r\u001b[2Ktrain  12');
    wait(61_000);
    progress.finish();
    progress.finish();
    progress.update(13, 0);
    expect(written.slice(1)).toEqual(['\r\u001b[2Ktrain  12  in 1:01\n']);
  });

  it('formats durations and rates for people', () => {
    expect([0, 7400, 725_000, 3_729_000].map(formatDuration)).toEqual([
      '0:00',
      '0:07',
      '12:05',
      '1:02:09',
    ]);
    expect([0.421, 27.53, 1250].map(formatRate)).toEqual(['0.42/s', '27.5/s', '1,250/s']);
  });
});
