// Owns the example cards of a report: question, pictures, latents, response, answers.
import { DataError } from '../errors.ts';
import { markup, shorten } from './html.ts';
import type { Html } from './html.ts';
import type { Prediction, ReportExample, ResponsePiece } from './types.ts';

// ours: a shown text longer than this hides the pictures it belongs to.
const MAX_TEXT = 1200;
const MAX_NAME = 80;
// ours: keeps a report of two dozen examples within some ten megabytes.
const MAX_PICTURE_BYTES = 256 * 1024;
const PICTURE_SIDE = 192;
// PNG specification, section 5.2 and 11.2.1: the signature, then IHDR with width and height.
const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10] as const;
const IHDR_WIDTH = 16;
const PNG_MIN_BYTES = 33;

function pngSize(png: Uint8Array, id: string): { width: number; height: number } {
  if (png.length < PNG_MIN_BYTES || PNG_SIGNATURE.some((byte, i) => png[i] !== byte)) {
    throw new DataError({
      what: `a picture of example ${shorten(id, MAX_NAME)} is not a PNG file`,
      expected: 'the bytes of a PNG file',
      fix: 'encode the picture before handing it to the report',
    });
  }
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(IHDR_WIDTH), height: view.getUint32(IHDR_WIDTH + 4) };
}

/**
 * A picture with its caption, small ones enlarged without smoothing; `id` is the example's.
 *
 * @throws DataError when the bytes are not those of a PNG file.
 */
export function picture(png: Uint8Array, caption: string, alt: string, id: string): Html {
  const { width, height } = pngSize(png, id);
  const below = markup`<figcaption>${caption}</figcaption>`;
  if (png.length > MAX_PICTURE_BYTES) {
    const size = (png.length / 2 ** 20).toFixed(1);
    return markup`<figure><p class="missing">${width} × ${height}, ${size} MiB: too large to embed</p>${below}</figure>`;
  }
  const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  const small = width <= PICTURE_SIDE && height <= PICTURE_SIDE;
  const scale = small ? Math.floor(PICTURE_SIDE / Math.max(width, height)) : PICTURE_SIDE / width;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  return markup`<figure><img class="${small ? 'pixels' : 'photo'}" src="${source}" width="${w}" height="${h}" alt="${alt}">${below}</figure>`;
}

/** Cosines as a square of cells, deeper where a latent is closer to its target. */
function heat(cosines: readonly number[]): Html {
  const side = Math.ceil(Math.sqrt(cosines.length));
  const rows = Math.ceil(cosines.length / side);
  const cell = PICTURE_SIDE / side;
  const cells = cosines.map((cosine, i) => {
    const depth = Math.min(1, Math.max(0, cosine)).toFixed(2);
    const [x, y] = [(i % side) * cell, Math.floor(i / side) * cell];
    return markup`<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${cell.toFixed(1)}" height="${cell.toFixed(1)}" fill-opacity="${depth}"><title>latent ${i + 1}: ${cosine.toFixed(2)}</title></rect>`;
  });
  const mean = cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length;
  const worst = Math.min(...cosines);
  const label = `Cosine of ${cosines.length} latents to their targets: mean ${mean.toFixed(2)}, lowest ${worst.toFixed(2)}`;
  const height = (rows * cell).toFixed(1);
  return markup`<figure><svg class="heat" role="img" aria-label="${label}" width="${PICTURE_SIDE}" height="${height}" viewBox="0 0 ${PICTURE_SIDE} ${height}">${cells}</svg><figcaption>Closeness of each latent: mean cosine ${mean.toFixed(2)}, lowest ${worst.toFixed(2)}</figcaption></figure>`;
}

function response(pieces: readonly ResponsePiece[]): Html {
  const shown = pieces.map((piece) =>
    piece.kind === 'text'
      ? markup`${shorten(piece.text, MAX_TEXT)} `
      : markup`<span class="span">${piece.count} latents</span> `,
  );
  return markup`<p class="response"><span class="label">Response</span>${shown}</p>`;
}

function answers(example: ReportExample): Html {
  const rows = Object.entries(example.predictions).map(
    ([variant, { text, correct }]: [string, Prediction]) =>
      markup`<li class="${correct ? 'right' : 'wrong'}"><span class="who">${shorten(variant, MAX_NAME)}</span> <span class="said">${shorten(text, MAX_NAME)}</span> <span class="verdict">${correct ? 'right' : 'wrong'}</span></li>`,
  );
  return markup`<ul class="answers"><li class="truth"><span class="who">answer</span> <span class="said">${shorten(example.answer, MAX_NAME)}</span></li>${rows}</ul>`;
}

function pictures(example: ReportExample): Html[] {
  const { id, auxiliaryPng, latentPng, latentHeat } = example;
  const of = `of example ${shorten(id, MAX_NAME)}`;
  const shown = [picture(example.queryPng, 'Query picture', `Query picture ${of}`, id)];
  if (auxiliaryPng) {
    const alt = `Auxiliary picture ${of}, the target of the latents`;
    shown.push(picture(auxiliaryPng, 'Auxiliary picture: what the latents aim at', alt, id));
  }
  if (latentPng) {
    const alt = `Generated latents ${of}, each shown as the nearest known patch`;
    shown.push(picture(latentPng, 'Generated latents, as nearest patches', alt, id));
  }
  if (latentHeat && latentHeat.length > 0) shown.push(heat(latentHeat));
  return shown;
}

/** One example as a card. */
export function exampleCard(example: ReportExample): Html {
  const { task, difficulty, id, question } = example;
  return markup`<article class="card"><h3>${shorten(question, MAX_TEXT)}</h3><p class="kind">${shorten(task, MAX_NAME)} · ${shorten(difficulty, MAX_NAME)} · ${shorten(id, MAX_NAME)}</p><div class="pictures">${pictures(example)}</div>${example.response && example.response.length > 0 ? response(example.response) : undefined}${answers(example)}</article>`;
}
