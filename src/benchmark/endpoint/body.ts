// Owns the body of a call: messages with pictures as data URIs, sampling, further fields.
import { ConfigError } from '../../errors.ts';
import type { ChatPicture, ChatRequest, EndpointSettings, Json, TokensField } from './types.ts';

function picturePart({ bytes, mimeType }: ChatPicture): Json {
  if (!/^image\/[\w.+-]+$/.test(mimeType)) {
    throw new ConfigError({
      what: 'a picture for an endpoint has no type of a picture',
      got: mimeType.slice(0, 40),
      expected: 'image/png, image/jpeg, ...',
    });
  }
  const { buffer, byteOffset, byteLength } = bytes;
  const base64 = Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  return { type: 'image_url', image_url: { url: `data:${mimeType};base64,${base64}` } };
}

/** The bytes to post. @param tokensField - the field that limits the tokens, where they are limited. */
export function requestBody(
  settings: EndpointSettings,
  request: ChatRequest,
  tokensField: Exclude<TokensField, 'auto'>,
): Buffer {
  const { pictures, text } = request;
  // A prompt of text alone stays a string: not every server takes a list of parts.
  const content: Json =
    pictures.length === 0 ? text : [...pictures.map(picturePart), { type: 'text', text }];
  const system: Json[] =
    settings.system === null ? [] : [{ role: 'system', content: settings.system }];
  const maxTokens = request.maxTokens ?? settings.maxTokens;
  const body = {
    ...settings.extra,
    model: settings.model,
    messages: [...system, { role: 'user', content }],
    temperature: request.temperature ?? settings.temperature,
    top_p: request.topP ?? settings.topP,
    seed: request.seed ?? settings.seed,
    ...(maxTokens === undefined ? {} : { [tokensField]: maxTokens }),
  };
  return Buffer.from(JSON.stringify(body));
}
