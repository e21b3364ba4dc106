// Owns the checks of what is said about devices that are not here, and of where nodes may run.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { DEVICES, deviceFault, missingProvider } from '../../../src/engine/device.ts';
import type { Device } from '../../../src/engine/device.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import type { EncodedGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { ModelProtoSchema } from '../../../src/engine/onnx-pb/onnx_pb.js';
import { logSoftmax, softmax } from '../../../src/engine/ops/nn.ts';
import { cpuOperators, placedNodes } from '../../../src/engine/placement.ts';
import { rewriteFor } from '../../../src/engine/rewrite.ts';
import { Session, countLiveSessions, requireDevice } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { worstError } from '../../helpers/gradient-check.ts';

// What ONNX Runtime 1.30 says on Linux without these devices.
const NO_ADAPTER =
  '/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:136 ' +
  'onnxruntime::webgpu::WebGpuContext::Initialize(const onnxruntime::webgpu::WebGpuContextConfig&)' +
  '::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success was false. ' +
  'Failed to get a WebGPU adapter: No supported adapters\n';
const NO_CUDA = 'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library';

const on = (name: string): { os: string; arch: string } => {
  const [os = '', arch = ''] = name.split(' ');
  return { os, arch };
};

describe('a device that is not here', () => {
  it.each<[Device, string, boolean]>([
    ['webgpu', 'linux x64', true],
    ['webgpu', 'linux arm64', false],
    ['cuda', 'linux x64', true],
    ['cuda', 'win32 x64', false],
    ['coreml', 'darwin arm64', true],
    ['coreml', 'linux x64', false],
    ['dml', 'win32 x64', true],
    ['dml', 'darwin arm64', false],
    ['cpu', 'linux arm64', true],
  ])('%s on %s: onnxruntime-node has it: %s', (device, platform, isThere) => {
    const missing = missingProvider(device, on(platform));
    expect(missing === undefined).toBe(isThere);
    if (!missing) return;
    expect(missing.what).toContain(`device ${device} is not on this platform`);
    expect(missing.got).toBe(platform);
    expect(missing.fix).toContain('--device cpu');
  });

  it('is named with the command that fetches its libraries, for CUDA', () => {
    const { what, fix } = deviceFault('cuda', NO_CUDA);
    expect(what).toBe('device cuda is not available here');
    expect(fix).toMatch(
      /`ONNXRUNTIME_NODE_INSTALL=cuda12 node \/.*onnxruntime-node\/script\/install\.js`/,
    );
    expect(fix).toContain('NVIDIA driver, CUDA 12 and cuDNN 9');
    // With its own libraries there, what is missing is the machine's.
    expect(deviceFault('cuda', 'libcudnn.so.9: cannot open').fix).not.toContain('INSTALL');
  });

  it('is named with the driver to install, for WebGPU, in one line without C++', () => {
    const { what, got, fix } = deviceFault('webgpu', NO_ADAPTER);
    expect(what).toBe('device webgpu is not available here');
    expect(got).toBe('Failed to get a WebGPU adapter: No supported adapters');
    expect(fix).toContain('libvulkan1');
  });

  it('fails when it is asked for, and leaves no session', async () => {
    const absent = DEVICES.filter((device) => missingProvider(device) !== undefined);
    expect(absent.length).toBeGreaterThan(0);
    for (const device of absent) {
      await expect(requireDevice(device)).rejects.toThrow(ConfigError);
    }
    expect(countLiveSessions()).toBe(0);
    await requireDevice('cpu');
    expect(countLiveSessions()).toBe(0);
  });
});

/** An event of a profile as ONNX Runtime writes it. */
const event = (operator: string, provider: string, operand: Record<string, number[]>) => ({
  cat: 'Node',
  name: `${operator}_1_kernel_time`,
  args: { op_name: operator, provider, input_type_shape: [operand] },
});
const [CPU, GPU] = ['CPUExecutionProvider', 'WebGpuExecutionProvider'];

describe('the place of nodes', () => {
  it('is read from a profile; floats on the CPU are arithmetic, integers and scalars are not', () => {
    const profile = JSON.stringify([
      { cat: 'Session', name: 'model_run' },
      { cat: 'Node', name: 'MatMul_0_fence_before' },
      event('MatMul', GPU, { float: [4, 4] }),
      event('LogSoftmax', CPU, { float: [2, 3] }),
      event('LogSoftmax', CPU, { float: [2, 3] }),
      event('Erf', CPU, { float16: [2] }),
      event('Reshape', CPU, { int64: [8] }),
      event('Or', CPU, { bool: [4, 4] }),
      event('Div', CPU, { float: [] }),
      event('Sqrt', CPU, { float: [1, 1] }),
    ]);
    const nodes = placedNodes(profile);
    expect(nodes).toHaveLength(8);
    expect(cpuOperators(nodes)).toEqual({
      arithmetic: ['Erf', 'LogSoftmax'],
      indexes: ['Div', 'Or', 'Reshape', 'Sqrt'],
    });
  });

  it('is as ONNX Runtime writes it: a profile of the CPU has every node there', async () => {
    const graph = new Graph();
    graph.output('y', softmax(graph.input('x', 'float', [2, 3])));
    await using session = await Session.create(encodeGraph(graph), { device: 'cpu', threads: 1 });
    await session.run({ x: tensor('f32', [2, 3], new Float32Array(6)) });
    // The CPU is not watched: nothing can be beside it.
    expect(session.cpuOperators).toBeUndefined();
  });
});

describe('a graph written anew for WebGPU', () => {
  const encode = (operation: typeof softmax): EncodedGraph => {
    const graph = new Graph();
    graph.output('y', operation(graph.input('x', 'float', ['N', 5])));
    return encodeGraph(graph);
  };

  it('has no LogSoftmax and the same numbers, also for logits of thousands', async () => {
    const rewritten = rewriteFor('webgpu', encode(logSoftmax).bytes);
    const operators = fromBinary(ModelProtoSchema, rewritten).graph?.node.map((n) => n.opType);
    expect(operators).toEqual(['ReduceMax', 'Sub', 'Exp', 'ReduceSum', 'Log', 'Sub']);
    const x = tensor('f32', [2, 5], Float32Array.of(1, 2, 3, 4, 5, 1e3, -1e3, 9e3, 8999, 0));
    await using ours = await Session.create({ bytes: rewritten }, { threads: 1 });
    await using plain = await Session.create(encode(logSoftmax), { threads: 1 });
    const [found, expected] = [await ours.run({ x }), await plain.run({ x })];
    const numbers = (data: ArrayLike<unknown> | undefined): number[] =>
      Array.from(data ?? [], Number);
    expect(worstError(numbers(found['y']?.data), numbers(expected['y']?.data))).toBeLessThan(1e-6);
  });

  it('is left as it is for the CPU, and where nothing is lacking', () => {
    const [lacking, whole] = [encode(logSoftmax).bytes, encode(softmax).bytes];
    expect(rewriteFor('cpu', lacking)).toBe(lacking);
    expect(rewriteFor('webgpu', whole)).toBe(whole);
  });
});
