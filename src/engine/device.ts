// Owns the devices a session can run on, and what each of them needs to be there; sessions and the CLI ask.
import { createRequire } from 'node:module';
import type { ErrorParts } from '../errors.ts';

/** Devices by the names ONNX Runtime knows them under; `cpu` is always there. */
export const DEVICES = ['cpu', 'webgpu', 'cuda', 'coreml', 'dml'] as const;

/** Execution providers a session can run on. */
export type Device = (typeof DEVICES)[number];

/** A machine as far as devices depend on it. */
export interface Platform {
  readonly os: string;
  readonly arch: string;
}

const HERE: Platform = { os: process.platform, arch: process.arch };
const OR_CPU = 'or use --device cpu';

/** Platforms that onnxruntime-node 1.30 has a provider for. Source: its README. */
const PROVIDERS: Readonly<Record<Device, readonly string[]>> = {
  cpu: ['linux x64', 'linux arm64', 'darwin x64', 'darwin arm64', 'win32 x64', 'win32 arm64'],
  webgpu: ['linux x64', 'darwin x64', 'darwin arm64', 'win32 x64', 'win32 arm64'],
  cuda: ['linux x64'],
  coreml: ['darwin x64', 'darwin arm64'],
  dml: ['win32 x64', 'win32 arm64'],
};

const NAMES: Readonly<Record<Device, string>> = {
  cpu: 'the CPU',
  webgpu: 'WebGPU',
  cuda: 'CUDA',
  coreml: 'Core ML',
  dml: 'DirectML',
};

function cudaInstaller(): string {
  try {
    return createRequire(import.meta.url).resolve('onnxruntime-node/script/install.js');
  } catch {
    return 'node_modules/onnxruntime-node/script/install.js';
  }
}

function fixFor(device: Device, fault: string): string {
  switch (device) {
    case 'webgpu':
      return (
        `install a graphics driver (Linux: a Vulkan driver and libvulkan1; a software one such as ` +
        `Mesa's lavapipe 24 or newer will do), see \`gapvl doctor\`, ${OR_CPU}`
      );
    case 'cuda':
      // Its own libraries come first; without them it does not get as far as those of CUDA.
      return /providers_shared|Failed to load shared library/.test(fault)
        ? `fetch the CUDA libraries of ONNX Runtime with ` +
            `\`ONNXRUNTIME_NODE_INSTALL=cuda12 node ${cudaInstaller()}\` ` +
            `(they also need an NVIDIA driver, CUDA 12 and cuDNN 9 on this machine), ${OR_CPU}`
        : `install an NVIDIA driver, CUDA 12 and cuDNN 9, ${OR_CPU}`;
    case 'coreml':
    case 'dml':
    case 'cpu':
      return 'run `gapvl doctor`, or use --device cpu';
  }
}

/** Why ONNX Runtime cannot have this device here whatever is installed; nothing if it can. */
export function missingProvider(device: Device, here: Platform = HERE): ErrorParts | undefined {
  const platforms = PROVIDERS[device];
  const name = `${here.os} ${here.arch}`;
  if (platforms.includes(name)) return undefined;
  return {
    what: `device ${device} is not on this platform: onnxruntime-node has no ${NAMES[device]} for it`,
    got: name,
    expected: `one of ${platforms.join(', ')}`,
    fix: `run where ${NAMES[device]} is, ${OR_CPU}`,
  };
}

/** What to tell when ONNX Runtime did not get a session on a device, in its own words `fault`. */
export function deviceFault(device: Device, fault: string): ErrorParts {
  // Without the path and the name of the C++ function, which tell the reader nothing.
  const got = fault
    .replace(/^\S*onnxruntime_src\S* .* was false\. /s, '')
    .replace(/\s+/g, ' ')
    .trim();
  const what = /adapter|shared library|providers_shared|backend not found/i.test(fault)
    ? `device ${device} is not available here`
    : `device ${device} cannot run this graph here`;
  return { what, got, fix: fixFor(device, fault) };
}
