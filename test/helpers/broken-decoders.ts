// Owns decoders that are broken on purpose, which an audit has to notice before it says anything.
// Axes: B rows, D hidden, N given vectors.
import type {
  DecoderOutput,
  DecodingBatch,
  PromptRow,
  StepDecoder,
  StepInput,
} from '../../src/generate/decoder.ts';

/** A prompt in which latents of a given beginning stand as tokens; pictures stay. */
function withoutLatents(row: PromptRow, latentPad: number): PromptRow {
  const width = row.given_ND.length / Math.max(1, row.givenPlaces.length);
  const kept = row.givenPlaces.flatMap((place, n) => (row.ids[place] === latentPad ? [] : [n]));
  const vectors = kept.map((n) => row.given_ND.subarray(n * width, (n + 1) * width));
  return {
    ...row,
    given_ND: Float32Array.from(vectors.flatMap((vector) => [...vector])),
    givenPlaces: kept.map((n) => row.givenPlaces[n] ?? NaN),
  };
}

/**
 * Its injection is broken: no latent ever reaches the input, where the embedding of `<|latent_pad|>`
 * stands instead. What a decoder is told to read back makes no difference.
 */
export function withBrokenInjection(decoder: StepDecoder): StepDecoder {
  const { latentPad } = decoder.model.bundle.sequence;
  const broken = (batch: DecodingBatch): DecodingBatch => ({
    output: batch.output,
    step: (inputs) => {
      const tokens = inputs.map((input): StepInput => {
        const { latent: _dropped, ...token } = input;
        return token;
      });
      return batch.step(tokens);
    },
    fork: () => broken(batch.fork()),
  });
  return {
    model: decoder.model,
    start: async (rows, ...rest) => {
      const prompts = rows.map((row) => withoutLatents(row, latentPad));
      return broken(await decoder.start(prompts, ...rest));
    },
  };
}

/** The latents [D] of each row of an output, each its own copy. */
function predictedRows({ latents_BD }: DecoderOutput, numRows: number): Float32Array[] {
  const width = latents_BD.length / numRows;
  return Array.from({ length: numRows }, (_, b) => latents_BD.slice(b * width, (b + 1) * width));
}

/**
 * Its replacement hook is broken: every latent it is given is ignored and the model's own prediction
 * read back. Clean decoding is as it should be.
 */
export function withIgnoredEdits(decoder: StepDecoder): StepDecoder {
  /** `own`: what each row predicted when it last read something; undefined before that. */
  const broken = (batch: DecodingBatch, own: (Float32Array | undefined)[]): DecodingBatch => ({
    output: batch.output,
    step: async (inputs) => {
      const before = predictedRows(batch.output, inputs.length);
      const output = await batch.step(
        inputs.map((input, b): StepInput => {
          const latent = own[b] ?? before[b];
          return input.latent && latent ? { ...input, latent } : input;
        }),
      );
      const after = predictedRows(output, inputs.length);
      inputs.forEach(({ active }, b) => {
        if (active) own[b] = after[b];
      });
      return output;
    },
    fork: () => broken(batch.fork(), [...own]),
  });
  return {
    model: decoder.model,
    start: async (...prompts) => broken(await decoder.start(...prompts), []),
  };
}
