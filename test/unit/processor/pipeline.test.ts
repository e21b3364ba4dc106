// Runs generated examples through the whole processor, as training does, and checks what comes out.
import { describe, expect, it } from 'vitest';
import { formatCaption, formatResponse } from '../../../src/data/format.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import { VOCABULARY } from '../../../src/data/vocabulary.ts';
import { createChatTemplate, renderPrompt } from '../../../src/processor/chat.ts';
import { CLIP_MEAN, CLIP_STD, patchify, type PatchConfig } from '../../../src/processor/patches.ts';
import { mropePositions } from '../../../src/processor/positions.ts';
import { assembleRow, batchRows } from '../../../src/processor/sequence.ts';
import { buildTinyTokenizer, TINY_CHAT_TEMPLATE } from '../../../src/processor/tiny-tokenizer.ts';
import { createTokenizer } from '../../../src/processor/tokenizer.ts';
import { chatTokenIds, encodeResponse, latentTokenIds } from '../../../src/processor/tokens.ts';

const NUM_LATENTS = 36;
const PATCHES: PatchConfig = {
  patchSize: 8,
  temporalPatchSize: 2,
  mergeSize: 2,
  mean: CLIP_MEAN,
  std: CLIP_STD,
};

describe('the processor on generated examples', () => {
  it('turns every task into rows the tiny model can train on', () => {
    const files = buildTinyTokenizer(VOCABULARY);
    const tokenizer = createTokenizer(files.tokenizerJson, files.tokenizerConfig);
    const template = createChatTemplate(TINY_CHAT_TEMPLATE);
    const ids = { ...chatTokenIds(tokenizer), ...latentTokenIds(tokenizer) };
    const sequenceIds = { ...ids, responseEnd: ids.turnEnd };
    const examples = [...sampleExamples({ split: 'train', count: 40, seed: 4 })];
    const { grids, pixelValues_PF } = patchify(
      examples.map(({ picture }) => picture),
      PATCHES,
    );
    const rows = examples.map((example, i) => {
      const prompt = renderPrompt({
        tokenizer,
        template,
        messages: [
          { role: 'user', content: [{ type: 'image' }, { type: 'text', text: example.question }] },
        ],
        grids: grids.slice(i, i + 1),
        mergeSize: PATCHES.mergeSize,
      });
      const style =
        i % 2 === 0
          ? ({ latents: 'span', numLatents: NUM_LATENTS } as const)
          : ({ latents: 'none' } as const);
      const response = encodeResponse(tokenizer, formatResponse(example, style));
      expect(encodeResponse(tokenizer, formatCaption(example.caption)).length).toBe(36);
      return assembleRow(prompt.ids, response, sequenceIds);
    });
    for (const side of ['left', 'right'] as const) {
      const batch = batchRows(rows, { padId: ids.pad, side });
      expect(batch.latentInputs_L.length).toBe(20 * NUM_LATENTS);
      expect(batch.pictureTokens.length).toBe(40 * 36);
      expect(pixelValues_PF.length).toBe(40 * 144 * 384);
      const { next_B } = mropePositions(batch, grids, { ids, mergeSize: 2 });
      // A 6 x 6 picture takes 6 positions instead of 36; everything else takes one each.
      expect([...next_B]).toEqual(rows.map(({ inputIds }) => inputIds.length - 30));
    }
  });
});
