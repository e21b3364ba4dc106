// Owns the decoder as nested loops in double precision, one sequence at a time; tests hold graphs against it.
// Axes: T tokens, D hidden, H query heads, E head size, L layers.
import type { GapModel } from '../../src/latent/model.ts';
import type { Weights } from '../../src/model/weights.ts';

/** Everything there is to know of one sequence. */
export interface PlainStates {
  /** Inputs, then every layer's output, [L + 1][T][D]. */
  readonly states: readonly (readonly Float64Array[])[];
  /** After the final norm, [T][D]. */
  readonly normed: readonly Float64Array[];
  /** Attention weights, [L][H][query][key]. */
  readonly attention: readonly (readonly (readonly Float64Array[])[])[];
}

type Row = Float64Array;

/** What a sequence is made of: inputs [T][D] and positions t, h, w of every token. */
export interface PlainInputs {
  readonly inputs: readonly ArrayLike<number>[];
  readonly positions: readonly (readonly [number, number, number])[];
  /** Whether a query sees a key that does not stand after it; default: always. */
  readonly sees?: (query: number, key: number) => boolean;
}

/** Runs a model over one sequence. */
export function plainStates(model: GapModel<Weights>, given: PlainInputs): PlainStates {
  const { config, weights } = model.bundle.checkpoint;
  const { numHeads, numKvHeads, headSize, numLayers, ...text } = config.text;
  const weight = (name: string): Float32Array => weights.get(name).data;
  const linear = (x: Row, name: string, hasBias: boolean): Row => {
    const w = weight(`${name}.weight`);
    const bias = hasBias ? weight(`${name}.bias`) : undefined;
    return Float64Array.from({ length: w.length / x.length }, (_, o) => {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < x.length; i++) sum += (w[o * x.length + i] ?? 0) * (x[i] ?? 0);
      return sum;
    });
  };
  const rms = (x: Row, name: string): Row => {
    const mean = x.reduce((sum, v) => sum + v * v, 0) / x.length;
    const w = weight(name);
    return x.map((v, i) => (v / Math.sqrt(mean + text.rmsNormEpsilon)) * (w[i] ?? 0));
  };
  const turn = (x: Row, position: readonly [number, number, number]): Row => {
    const half = headSize / 2;
    const axisOf = text.mropeSection.flatMap((size, axis) => Array<number>(size).fill(axis));
    const out = x.slice();
    for (let start = 0; start < x.length; start += headSize) {
      for (let f = 0; f < half; f++) {
        const angle = (position[axisOf[f] ?? 0] ?? 0) * text.ropeTheta ** ((-2 * f) / headSize);
        const [a, b] = [x[start + f] ?? 0, x[start + half + f] ?? 0];
        out[start + f] = a * Math.cos(angle) - b * Math.sin(angle);
        out[start + half + f] = b * Math.cos(angle) + a * Math.sin(angle);
      }
    }
    return out;
  };
  const plus = (a: Row, b: Row): Row => a.map((x, i) => x + (b[i] ?? 0));
  let x: Row[] = given.inputs.map((input) => Float64Array.from(input));
  const states = [x];
  const attention: Row[][][] = [];
  for (let layer = 0; layer < numLayers; layer++) {
    const at = `model.layers.${layer}`;
    const normed = x.map((row) => rms(row, `${at}.input_layernorm.weight`));
    const place = (t: number): readonly [number, number, number] => given.positions[t] ?? [0, 0, 0];
    const q = normed.map((row, t) => turn(linear(row, `${at}.self_attn.q_proj`, true), place(t)));
    const k = normed.map((row, t) => turn(linear(row, `${at}.self_attn.k_proj`, true), place(t)));
    const v = normed.map((row) => linear(row, `${at}.self_attn.v_proj`, true));
    const mixed = x.map(() => new Float64Array(numHeads * headSize));
    const heads: Row[][] = [];
    for (let head = 0; head < numHeads; head++) {
      const own = head * headSize;
      const shared = Math.floor(head / (numHeads / numKvHeads)) * headSize;
      const rows = q.map((query, t) => {
        const scores = k.map((key, s) => {
          if (s > t || given.sees?.(t, s) === false) return -Infinity;
          let sum = 0;
          for (let e = 0; e < headSize; e++) sum += (query[own + e] ?? 0) * (key[shared + e] ?? 0);
          return sum / Math.sqrt(headSize);
        });
        const most = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - most));
        const total = powers.reduce((sum, p) => sum + p, 0);
        const shares = Float64Array.from(powers, (p) => p / total);
        shares.forEach((share, s) => {
          for (let e = 0; e < headSize; e++) {
            const target = mixed[t] as Row;
            target[own + e] = (target[own + e] ?? 0) + share * (v[s]?.[shared + e] ?? 0);
          }
        });
        return shares;
      });
      heads.push(rows);
    }
    attention.push(heads);
    const after = x.map((row, t) =>
      plus(row, linear(mixed[t] as Row, `${at}.self_attn.o_proj`, false)),
    );
    x = after.map((row) => {
      const again = rms(row, `${at}.post_attention_layernorm.weight`);
      const gate = linear(again, `${at}.mlp.gate_proj`, false).map((g) => g / (1 + Math.exp(-g)));
      const up = linear(again, `${at}.mlp.up_proj`, false);
      const inner = gate.map((g, i) => g * (up[i] ?? 0));
      return plus(row, linear(inner, `${at}.mlp.down_proj`, false));
    });
    states.push(x);
  }
  return { states, attention, normed: x.map((row) => rms(row, 'model.norm.weight')) };
}

/** log softmax of the logits at every place, [T][V], of states after the final norm. */
export function plainLogProbs(model: GapModel<Weights>, normed: readonly Float64Array[]): Row[] {
  const { config, weights } = model.bundle.checkpoint;
  const name = config.text.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  const table = weights.get(name).data;
  return normed.map((row) => {
    const logits = Float64Array.from({ length: table.length / row.length }, (_, id) => {
      let sum = 0;
      for (let d = 0; d < row.length; d++) sum += (table[id * row.length + d] ?? 0) * (row[d] ?? 0);
      return sum;
    });
    const most = Math.max(...logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
    return logits.map((logit) => logit - most - Math.log(total));
  });
}

/** The input embedding of a token, [D]. */
export function embeddingOf(model: GapModel<Weights>, id: number): Float32Array {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const table = model.bundle.checkpoint.weights.get('model.embed_tokens.weight').data;
  return table.subarray(id * width, (id + 1) * width);
}
