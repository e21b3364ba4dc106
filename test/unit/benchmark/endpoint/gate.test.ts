// Owns the check that a gate lets calls through in their order, and loses no place to those who leave.
import { describe, expect, it } from 'vitest';
import { Gate } from '../../../../src/benchmark/endpoint/gate.ts';
import { quickTime } from '../../../helpers/openai-server.ts';

function gateFor(concurrency: number, requestsPerMinute: number | null = null) {
  const { clock, sleep, slept } = quickTime(undefined, false);
  return {
    gate: new Gate({ concurrency, requestsPerMinute, now: clock.now, sleep }),
    clock,
    slept,
  };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('A gate', () => {
  it('lets calls through in the order they came', async () => {
    const { gate } = gateFor(2);
    const order: number[] = [];
    const call = (i: number) => async (): Promise<void> => {
      order.push(i);
      await settle();
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map((i) => gate.run(call(i))));
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('gives the place of one who stopped waiting to the next', async () => {
    const { gate } = gateFor(1);
    let finish: () => void = () => undefined;
    const first = gate.run(() => new Promise<void>((resolve) => (finish = resolve)));
    const stop = new AbortController();
    const reason = new Error('enough');
    const gone = gate.run(() => Promise.resolve('gone'), stop.signal);
    const last = gate.run(() => Promise.resolve('last'));
    stop.abort(reason);
    await expect(gone).rejects.toBe(reason);
    finish();
    await first;
    expect(await last).toBe('last');
  });

  it('gives the place of a call that fails to the next', async () => {
    const { gate } = gateFor(1);
    const fault = new Error('fault');
    const failed = gate.run(() => Promise.reject(fault));
    const next = gate.run(() => Promise.resolve('next'));
    await expect(failed).rejects.toBe(fault);
    expect(await next).toBe('next');
  });

  it('keeps to the pace after a pause, and lets nobody catch up', async () => {
    // 60 a minute. Begins at 0, 1, then 10 after the pause, 11, 12 s.
    const { gate, clock } = gateFor(1, 60);
    const starts: number[] = [];
    const call = (): Promise<void> => {
      starts.push(clock.now() / 1000);
      return Promise.resolve();
    };
    await gate.run(call);
    await gate.run(call);
    gate.pause(9000);
    gate.pause(10);
    for (let i = 0; i < 3; i++) await gate.run(call);
    expect(starts).toEqual([0, 1, 10, 11, 12]);
  });
});
