// Tests questions about any number of pictures: their order, the system prompt, and the answer.
import { describe, expect, it } from 'vitest';
import { createRaster } from '../../../src/data/raster.ts';
import type { Raster } from '../../../src/data/raster.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { ConfigError, DataError } from '../../../src/errors.ts';
import { askModel } from '../../../src/generate/ask.ts';
import type { Answer, AskOptions } from '../../../src/generate/ask.ts';
import { questionRequest } from '../../../src/generate/question.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION, miniGapModel } from '../../helpers/mini-gap.ts';

function noisePicture(width: number, height: number): Raster {
  const rng = new Rng(`${width} x ${height}`);
  const picture = createRaster(width, height, [0, 0, 0]);
  for (let i = 0; i < picture.data.length; i++) picture.data[i] = rng.int(256);
  return picture;
}

const WIDE = noisePicture(32, 8);
const TALL = noisePicture(16, 40);
const QUESTION = { ...SESSION, question: 'what is it', seed: 1 } as const;

async function ask(change: Partial<AskOptions>): Promise<{ text: string; answer: Answer }> {
  const model = await miniGapModel({ heads: 4, kvHeads: 2, tied: false, seed: 11 });
  const stream = askModel(model, { ...QUESTION, pictures: [WIDE, TALL], ...change });
  let text = '';
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return { text, answer: next.value };
    text += next.value.kind === 'text' ? next.value.text : '#';
  }
}

describe('a question', () => {
  it('has its pictures in the order given, the question behind them', async () => {
    const model = await miniGapModel();
    const { tokenizer, sequence } = model.bundle;
    await using encoder = new PictureEncoder(model.bundle, SESSION);
    for (const pictures of [[WIDE, TALL], [TALL, WIDE], [TALL], []]) {
      const request = await questionRequest(model, { ...QUESTION, pictures }, 0);
      const rows: number[] = [];
      for (const picture of pictures) rows.push(...(await encoder.encode([picture])));
      expect(request.pictureRows_MD).toEqual(Float32Array.from(rows));
      const sizes = pictures.map(({ width, height }) => (width * height) / 64);
      expect(request.grids.map(([t, h, w]) => (t * h * w) / 4)).toEqual(sizes);
      const text = tokenizer.decode(request.promptIds);
      const runs = text.match(/<\|vision_start\|>( <\|image_pad\|>)*/g) ?? [];
      expect(runs.map((run) => run.split('pad').length - 1)).toEqual(sizes);
      expect(text).toMatch(
        /^<\|im_start\|> user .*what is it <\|im_end\|> <\|im_start\|> assistant/,
      );
      const last = request.promptIds.lastIndexOf(sequence.imagePad);
      const question = request.promptIds.indexOf(tokenizer.idOf('what'));
      expect(last).toBeLessThan(question);
    }
  });

  it('has its system prompt first, as plain words', async () => {
    const model = await miniGapModel();
    const asked = { ...QUESTION, pictures: [WIDE], system: 'it is red' };
    const { promptIds } = await questionRequest(model, asked, 0);
    const text = model.bundle.tokenizer.decode(promptIds);
    expect(text).toMatch(/^<\|im_start\|> system it is red <\|im_end\|> <\|im_start\|> user/);
  });

  it('names the picture that cannot be taken by its place', async () => {
    const model = await miniGapModel();
    const pictures = [WIDE, createRaster(2000, 2, [9, 9, 9])];
    const asking = questionRequest(model, { ...QUESTION, pictures }, 0);
    await expect(asking).rejects.toThrow(DataError);
    await expect(asking).rejects.toThrow(/picture 2/);
  });
});

describe('an answer', () => {
  it('depends on the order of the pictures, and on the system prompt', async () => {
    const own = (await ask({ maxNewTokens: 30 })).answer.tokens;
    expect((await ask({ maxNewTokens: 30 })).answer.tokens).toEqual(own);
    const turned = await ask({ maxNewTokens: 30, pictures: [TALL, WIDE] });
    expect(turned.answer.tokens).not.toEqual(own);
    const told = await ask({ maxNewTokens: 30, system: 'red one' });
    expect(told.answer.tokens).not.toEqual(own);
    const blind = await ask({ maxNewTokens: 30, pictures: [] });
    expect(blind.answer).toMatchObject({ queryNorm: 0 });
    expect(blind.answer.tokens.length).toBeGreaterThan(0);
  });

  it('streams what its response says, spans apart, and counts every token', async () => {
    let numTokens = 0;
    const { text, answer } = await ask({ maxNewTokens: 60, onToken: () => void (numTokens += 1) });
    expect(numTokens).toBe(answer.tokens.length);
    expect(answer.spans.length).toBeGreaterThan(0);
    const spans = answer.response.replace(/ *(?:<\|latent_pad\|> *)+/g, '#');
    expect(text.replaceAll(/ *# */g, '#')).toBe(spans);
  });

  it('is cut before a stop string of several tokens, in the stream and in the record', async () => {
    const whole = await ask({ maxNewTokens: 60 });
    const words = whole.answer.response.split(' ');
    const isWord = (word: string | undefined): boolean => /^\w+$/.test(word ?? '');
    const at = words.findIndex((word, i) => i > 2 && isWord(word) && isWord(words[i + 1]));
    expect(at).toBeGreaterThan(2);
    // Ends inside the second word: the stop string is no whole number of tokens.
    const stop = `${words[at] ?? ''} ${(words[at + 1] ?? '').slice(0, 2)}`;
    const { text, answer } = await ask({ maxNewTokens: 60, stop: [stop, 'never said'] });
    expect(answer).toMatchObject({ finished: true, stop });
    expect(answer.response).toBe(
      whole.answer.response.slice(0, whole.answer.response.indexOf(stop)),
    );
    expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(answer.tokens).toEqual(whole.answer.tokens.slice(0, answer.tokens.length));
    expect(answer.tokens.length).toBeLessThan(whole.answer.tokens.length);
    expect(whole.answer).toMatchObject({ stop: null });
  });

  it('refuses an empty stop string before anything runs', async () => {
    await expect(ask({ stop: [''] })).rejects.toThrow(ConfigError);
  });

  it('is not begun when its signal is aborted, and gives sessions back when it is later', async () => {
    const before = countLiveSessions();
    const reason = new Error('enough');
    await expect(ask({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const stop = new AbortController();
    let numTokens = 0;
    const onToken = (): void => {
      numTokens += 1;
      if (numTokens === 2) stop.abort(reason);
    };
    await expect(ask({ signal: stop.signal, onToken })).rejects.toBe(reason);
    expect(numTokens).toBe(2);
    expect(countLiveSessions()).toBe(before);
  });
});
