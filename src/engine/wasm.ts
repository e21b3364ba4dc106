// Owns making instances of WebAssembly modules that are kept in base64; the kernels of picture
// preprocessing and of AdamW are such.

/** The part of the global that is used; Node's types leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The memory of an instance; its buffer is another one after it has grown. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow: (numPages: number) => number;
}

/** The exports of a new instance of a module without imports. */
export function instantiate(base64: string): unknown {
  return new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(base64, 'base64'))).exports;
}
