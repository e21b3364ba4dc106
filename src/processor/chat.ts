// Owns chat messages -> prompt ids (template, picture tokens, hostile text); called by data loaders, generate/ and serve/.
import { Template } from '@huggingface/jinja';
import { CheckpointError, DataError } from '../errors.ts';
import { numMergedTokens, type GridThw } from './grid.ts';
import type { TextPiece, TextTokenizer } from './tokenizer.ts';
import { CHAT_TOKENS } from './tokens.ts';

/** A part of a message; an image stands where its picture tokens will. */
export type MessagePart =
  { readonly type: 'text'; readonly text: string } | { readonly type: 'image' };

/** One turn of a chat. */
export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string | readonly MessagePart[];
}

/** A parsed chat template. */
export interface ChatTemplate {
  /** Renders messages; `context` holds what the template reads. */
  render(context: Record<string, unknown>): string;
}

/**
 * Parses the Jinja source of a chat template (`chat_template.jinja`, or `chat_template` of
 * `tokenizer_config.json`).
 * @throws CheckpointError when the source does not parse.
 */
export function createChatTemplate(source: string): ChatTemplate {
  try {
    return new Template(source);
  } catch (cause) {
    throw templateError('cannot be parsed', cause);
  }
}

/** What `renderPrompt` needs. */
export interface PromptRequest {
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  readonly messages: readonly Message[];
  /** Grids of the pictures, in the order of the image parts. */
  readonly grids: readonly GridThw[];
  /** `spatial_merge_size`. */
  readonly mergeSize: number;
  /** Opens the assistant's turn at the end; default true. */
  readonly addGenerationPrompt?: boolean;
}

/** A prompt ready for the model. */
export interface Prompt {
  readonly ids: number[];
  /** The rendered text with one `<|image_pad|>` a picture, for people to read. */
  readonly text: string;
}

// Stands for the n-th text of the messages while the template is rendered: MARK n MARK. The mark is
// a noncharacter (U+FDD0), which no text in interchange holds; messages never meet the renderer.
const MARK = '\uFDD0';
const MARKED = new RegExp(`${MARK}(\\d+)${MARK}`, 'g');

/**
 * Renders messages and encodes them, each `<|image_pad|>` repeated to the number of merged tokens
 * of its picture.
 *
 * Texts of messages are data, whatever they spell: the template is rendered with stand-ins for
 * them, so they pass through neither Jinja nor the recognition of special tokens. A question that
 * contains `<|image_pad|>` or `<|im_end|>` is encoded as those characters (Qwen2.5-VL) or refused
 * as unknown words (tiny tokenizer); it opens no turn and claims no picture. A template that
 * changes texts (trim, upper, slicing) would act on the stand-in; Qwen2.5-VL's does not.
 *
 * Worked example: user [image of 2 x 2 patches, text `how many`] renders to
 * `<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>how many<|im_end|>\n...`.
 *
 * @throws DataError when image parts and grids do not match; CheckpointError for a template that
 * fails, or loses or repeats a text.
 * Source: transformers processing_qwen2_5_vl.py, `Qwen2_5_VLProcessor.__call__`.
 */
export function renderPrompt(request: PromptRequest): Prompt {
  const { tokenizer, grids, mergeSize } = request;
  const numImages = countImages(request.messages);
  if (numImages !== grids.length) throw pictureCountError(`${numImages} image parts`, grids.length);
  const { messages, texts } = withStandIns(request.messages);
  let rendered: string;
  try {
    rendered = request.template.render({
      messages,
      add_generation_prompt: request.addGenerationPrompt ?? true,
    });
  } catch (cause) {
    throw templateError('failed on the messages', cause);
  }
  const pieces = cutAtStandIns(rendered, texts);
  const imagePad = tokenizer.idOf(CHAT_TOKENS.imagePad);
  const ids: number[] = [];
  let picture = 0;
  for (const id of tokenizer.encodePieces(pieces)) {
    if (id !== imagePad) {
      ids.push(id);
      continue;
    }
    const grid = grids[picture];
    if (grid === undefined) throw pictureCountError(`${picture + 1} places or more`, grids.length);
    picture += 1;
    for (let i = numMergedTokens(grid, mergeSize); i > 0; i--) ids.push(id);
  }
  if (picture !== grids.length) throw pictureCountError(`${picture} places`, grids.length);
  return { ids, text: pieces.map((piece) => piece.text).join('') };
}

function countImages(messages: readonly Message[]): number {
  let count = 0;
  for (const { content } of messages) {
    if (typeof content === 'string') continue;
    for (const part of content) if (part.type === 'image') count += 1;
  }
  return count;
}

function withStandIns(messages: readonly Message[]): { messages: Message[]; texts: string[] } {
  const texts: string[] = [];
  const standIn = (text: string): string => {
    texts.push(text);
    return `${MARK}${texts.length - 1}${MARK}`;
  };
  const replaced = messages.map(({ role, content }): Message => {
    if (typeof content === 'string') return { role, content: standIn(content) };
    const parts = content.map((part): MessagePart =>
      part.type === 'text' ? { type: 'text', text: standIn(part.text) } : { type: 'image' },
    );
    return { role, content: parts };
  });
  return { messages: replaced, texts };
}

function cutAtStandIns(rendered: string, texts: readonly string[]): TextPiece[] {
  const pieces: TextPiece[] = [];
  const timesUsed = texts.map(() => 0);
  let end = 0;
  for (const match of rendered.matchAll(MARKED)) {
    const index = Number(match[1]);
    timesUsed[index] = (timesUsed[index] ?? 0) + 1;
    pieces.push({ text: rendered.slice(end, match.index), trusted: true });
    pieces.push({ text: texts[index] ?? '', trusted: false });
    end = match.index + match[0].length;
  }
  pieces.push({ text: rendered.slice(end), trusted: true });
  const wrong = timesUsed.findIndex((count) => count !== 1);
  if (wrong === -1) return pieces;
  throw templateError(`used text ${wrong + 1} of the messages ${timesUsed[wrong] ?? 0} times`);
}

function templateError(what: string, cause?: unknown): CheckpointError {
  return new CheckpointError(
    {
      what: `The chat template ${what}`,
      ...(cause instanceof Error ? { got: cause.message } : {}),
      expected: 'a Jinja chat template of the Qwen2.5-VL family that uses each text once',
      fix: 'use the chat template that belongs to the checkpoint',
    },
    cause,
  );
}

function pictureCountError(got: string, numGrids: number): DataError {
  return new DataError({
    what: 'The prompt and its pictures do not match',
    got: `${got} for pictures in the prompt, ${numGrids} pictures`,
    expected: 'one image part a picture',
    fix: 'give as many image parts as pictures, in the same order',
  });
}
