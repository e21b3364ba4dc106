// Owns what a reply of `/v1/chat/completions` says: the answer, or the server's word for a failure.
import type { IncomingHttpHeaders } from 'node:http';
import type { HttpReply } from './post.ts';
import type { ChatAnswer, ChatUsage } from './types.ts';

/** The parts of an answer that its reply holds. */
export type ReplyAnswer = Pick<ChatAnswer, 'text' | 'finishReason' | 'model' | 'usage'>;

/** ours: names and reasons are a few words. */
const MAX_NAME = 200;

/** Statuses that another call may not meet again; all from 500 on are such, too. */
const TRANSIENT_STATUSES = [408, 409, 425, 429];

/** Whether a status is of the server's state rather than of the request. */
export function isTransientStatus(status: number): boolean {
  return TRANSIENT_STATUSES.includes(status) || status >= 500;
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function asName(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_NAME) : null;
}

function asCount(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}

function parseBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch {
    return undefined;
  }
}

/** A text, or the texts of a list of parts. */
function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part: unknown) => asObject(part)?.['text'])
    .filter((text) => typeof text === 'string')
    .join('');
}

function usageOf(value: unknown): ChatUsage | null {
  const usage = asObject(value);
  if (usage === undefined) return null;
  return {
    promptTokens: asCount(usage['prompt_tokens']),
    completionTokens: asCount(usage['completion_tokens']),
  };
}

function errorMessage(root: Readonly<Record<string, unknown>>): string | undefined {
  const error = root['error'];
  const found = [asObject(error)?.['message'], error, root['message'], root['detail']];
  return found.find((text) => typeof text === 'string' && text !== '') as string | undefined;
}

/**
 * The answer in a reply with a good status, or what is wrong with the reply. A refusal is an answer: the
 * model was asked and would not.
 */
export function readAnswer(reply: HttpReply): ReplyAnswer | { readonly fault: string } {
  const root = asObject(parseBody(reply.body));
  if (root === undefined) {
    const type = reply.headers['content-type'] ?? 'no content type';
    return { fault: `the reply is not a JSON object (${reply.body.byteLength} bytes, ${type})` };
  }
  const choices = root['choices'];
  const choice = asObject(Array.isArray(choices) ? (choices as unknown[])[0] : undefined);
  const message = asObject(choice?.['message']);
  if (message === undefined) {
    const told = errorMessage(root);
    return { fault: told === undefined ? 'the reply has no choices' : `an error: ${told}` };
  }
  const content = contentText(message['content']);
  const text = content === '' ? contentText(message['refusal']) : content;
  const finishReason = asName(choice?.['finish_reason']);
  if (text === '') {
    const reason = finishReason === null ? '' : ` (finish reason: ${finishReason})`;
    return { fault: `the reply is empty${reason}` };
  }
  return { text, finishReason, model: asName(root['model']), usage: usageOf(root['usage']) };
}

/** What a server says about a failure; the beginning of the body where it has no form. */
export function readFault(reply: HttpReply): string {
  const root = asObject(parseBody(reply.body));
  const told = root === undefined ? undefined : errorMessage(root);
  return told ?? new TextDecoder().decode(reply.body);
}

/**
 * Milliseconds a server asks to wait by `Retry-After`, seconds or HTTP date; undefined when it does not.
 * @param today - calendar time, for servers that do not tell theirs.
 */
export function retryAfterMs(headers: IncomingHttpHeaders, today: string): number | undefined {
  const after = headers['retry-after']?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(after)) return Number(after) * 1000;
  if (!/^[A-Za-z]+, .* GMT$/.test(after)) return undefined;
  // A date is compared with the server's own clock.
  const wait = Date.parse(after) - Date.parse(headers.date ?? today);
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
