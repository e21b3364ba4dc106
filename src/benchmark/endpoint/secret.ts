// Owns the key of an endpoint: where it comes from, where it may go, and how it stays out of all texts.
import { ConfigError } from '../../errors.ts';

/** ours: shorter values, such as the EMPTY that local servers take, are words an answer may hold. */
const MIN_SECRET_LENGTH = 16;
/** ours: what fits a line of a message. */
const MAX_SHOWN = 200;

/** The variable that client libraries of the API read. */
export const DEFAULT_KEY_VARIABLE = 'OPENAI_API_KEY';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** A key that is never printed. */
export class EndpointKey {
  readonly variable: string;
  readonly #value: string | undefined;

  private constructor(variable: string, value: string | undefined) {
    this.variable = variable;
    this.#value = value;
  }

  /**
   * The key for an address. The default variable's key does not go over plain HTTP to another machine: it is
   * most likely meant for another server; who names the variable means it.
   * @throws ConfigError when a key cannot be sent; its value is not shown.
   */
  static read(
    env: Readonly<Record<string, string | undefined>>,
    named: string | undefined,
    url: URL,
  ): EndpointKey {
    const variable = named ?? DEFAULT_KEY_VARIABLE;
    if (!/^[A-Za-z_]\w*$/.test(variable)) {
      // Who mistakes the option for the key must not read it in a log.
      throw new ConfigError({
        what: 'the name of the variable with the key cannot be used',
        expected: `the name of a variable of the environment, such as ${DEFAULT_KEY_VARIABLE}`,
        fix: 'put the key into a variable and give its name',
      });
    }
    const value = (env[variable] ?? '').trim();
    if (value === '') {
      if (named === undefined) return new EndpointKey(variable, undefined);
      throw new ConfigError({
        what: `the variable ${variable} is not set`,
        expected: 'the key of the endpoint in it',
        fix: `set ${variable}, or name no variable for a server that needs no key`,
      });
    }
    if (!/^[\x21-\x7e]+$/.test(value)) {
      throw new ConfigError({
        what: `the key in ${variable} cannot be sent`,
        got: 'blanks or characters beyond ASCII',
        fix: `set ${variable} to the key alone`,
      });
    }
    const isForeign = url.protocol === 'http:' && !LOOPBACK.test(url.hostname);
    return new EndpointKey(variable, isForeign && named === undefined ? undefined : value);
  }

  /** Whether a key goes along with calls. */
  get isSent(): boolean {
    return this.#value !== undefined;
  }

  /** The header that carries it. */
  headers(): Readonly<Record<string, string>> {
    return this.#value === undefined ? {} : { authorization: `Bearer ${this.#value}` };
  }

  /** Whether a text holds it. */
  isIn(text: string): boolean {
    return this.#value !== undefined && text.includes(this.#value);
  }

  /** A text that is kept, the key taken out of it where it can only be the key. */
  scrub(text: string): string {
    const value = this.#value;
    if (value === undefined || value.length < MIN_SECRET_LENGTH) return text;
    return text.replaceAll(value, '[key]');
  }

  /** Text of a server, made fit to be shown: one short line, the key taken out. */
  clean(text: string): string {
    const hidden = this.#value === undefined ? text : text.replaceAll(this.#value, '[key]');
    const line = hidden
      .slice(0, 16 * MAX_SHOWN)
      .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
      .trim();
    return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}...` : line;
  }
}
