// Owns an endpoint as one who answers a benchmark: pictures as they are sent, sampling, what a failure is in a
// record; `runBenchmark` opens it.
import { encodePng } from '../../data/png.ts';
import { DataError } from '../../errors.ts';
import type { DecodingChoices } from '../../generate/defaults.ts';
import { decodePicture, readPictureHeader } from '../../processor/picture.ts';
import { ChatEndpoint } from '../endpoint/chat-endpoint.ts';
import type { ChatPicture, EndpointOptions, Json } from '../endpoint/types.ts';
import type { ItemRecord } from '../prediction.ts';
import { failed, faultText } from './answerer.ts';
import type { Answerer, Asked, Contestant } from './answerer.ts';
import type { RunContext } from './local.ts';
import { BASELINE_DECODING } from './settings.ts';
import type { DecodingSettings, EndpointSource, Preset } from './settings.ts';

type Own = 'temperature' | 'topP' | 'maxTokens' | 'seed' | 'system' | 'extra';

/** An endpoint and how it answers. */
export interface RemoteOptions extends Omit<EndpointOptions, Own>, DecodingChoices {
  readonly kind: 'endpoint';
  /** Default `baseline`; `model` leaves to the server what is not given. */
  readonly preset?: Preset;
}

/** Formats that servers read; others are sent as PNG. */
const SENT_AS_THEY_ARE: readonly string[] = ['png', 'jpeg', 'webp', 'gif'];

function decodingOf(options: RemoteOptions): DecodingSettings {
  // What the interface has no field for is sent only when it is asked for: many servers refuse it.
  const { topK = null, repetitionPenalty = null, stop = [] } = options;
  const { maxNewTokens, temperature, topP } =
    options.preset === 'model'
      ? { maxNewTokens: null, temperature: null, topP: null }
      : BASELINE_DECODING;
  return {
    maxNewTokens: options.maxNewTokens ?? maxNewTokens,
    temperature: options.temperature ?? temperature,
    topP: options.topP ?? topP,
    ...{ topK, repetitionPenalty, stop },
  };
}

/** Further fields of the body, by the names that vLLM and SGLang gave them. */
function extraOf({ topK, repetitionPenalty, stop }: DecodingSettings): Record<string, Json> {
  return {
    ...(topK === null ? {} : { top_k: topK }),
    ...(repetitionPenalty === null ? {} : { repetition_penalty: repetitionPenalty }),
    ...(stop.length === 0 ? {} : { stop }),
  };
}

async function pictureOf(bytes: Uint8Array, name: string): Promise<ChatPicture> {
  const { format } = await readPictureHeader(bytes, { name });
  // Decoded in any case: a damaged picture is a fault of its row and not a refusal of the server.
  const raster = await decodePicture(bytes, { name });
  if (SENT_AS_THEY_ARE.includes(format)) return { bytes, mimeType: `image/${format}` };
  return { bytes: encodePng(raster), mimeType: 'image/png' };
}

/**
 * Opens an endpoint to answer a benchmark; nothing is sent before the first question.
 * @throws ConfigError for an option that cannot be used.
 */
export function openRemote(options: RemoteOptions, context: RunContext): Contestant {
  const decoding = decodingOf(options);
  const { maxNewTokens, temperature, topP } = decoding;
  const extra = extraOf(decoding);
  const { temperature: _temperature, topP: _topP, ...rest } = options;
  const endpoint = new ChatEndpoint({
    ...rest,
    extra,
    jitterSeed: options.jitterSeed ?? context.seed,
    ...(maxNewTokens === null ? {} : { maxTokens: maxNewTokens }),
    ...(temperature === null ? {} : { temperature }),
    ...(topP === null ? {} : { topP }),
    ...(context.system === null ? {} : { system: context.system }),
  });
  const { url, model, concurrency, requestsPerMinute, timeoutS, retries } = endpoint.settings;
  const source: EndpointSource = {
    kind: 'endpoint',
    ...{ url, model, extra },
    operation: { concurrency, requestsPerMinute, timeoutS, retries },
  };
  return {
    ...{ source, decoding, batchSize: 1, concurrency },
    numUnknownWords: () => 0,
    start: (signal) => Promise.resolve(new RemoteModel(endpoint, context.seed, signal)),
  };
}

class RemoteModel implements Answerer {
  private readonly endpoint: ChatEndpoint;
  private readonly seed: number;
  private readonly signal: AbortSignal;

  constructor(endpoint: ChatEndpoint, seed: number, signal: AbortSignal) {
    this.endpoint = endpoint;
    this.seed = seed;
    this.signal = signal;
  }

  answer(questions: readonly Asked[]): Promise<readonly ItemRecord[]> {
    return Promise.all(questions.map((asked) => this.one(asked)));
  }

  private async one(asked: Asked): Promise<ItemRecord> {
    const { index, sample, prompt } = asked;
    const pictures: ChatPicture[] = [];
    try {
      for (const [i, bytes] of asked.pictures.entries()) {
        pictures.push(await pictureOf(bytes, `${i + 1} of row ${index}`));
      }
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return failed(asked, { kind: 'picture', what: faultText(error) });
    }
    const request = { pictures, text: prompt, seed: this.seed + sample, signal: this.signal };
    const result = await this.endpoint.complete(request);
    const { attempts } = result;
    if (result.state === 'failed') return { ...failed(asked, result.error), attempts };
    return {
      ...{ index, sample, response: result.text, batch: 1, attempts },
      finished: result.finishReason !== 'length',
      // Calls under way at the same time slow each other down.
      ...(this.endpoint.settings.concurrency === 1 ? { latencyS: result.latencyS } : {}),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.endpoint[Symbol.dispose]();
    return Promise.resolve();
  }
}
