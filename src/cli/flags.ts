import { GantryError } from "../system/errors.ts";
import { parseDurationMs } from "./parse/duration.ts";

/** The options of one call, read with their type. Names are the long flag in camelCase: `--grace-period` is "gracePeriod". */
export class Flags {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  /** A flag without a value. */
  on(name: string): boolean {
    return this.#values[name] === true;
  }

  /** True for `--no-NAME`. */
  off(name: string): boolean {
    return this.#values[name] === false;
  }

  /** @throws GantryError `usage` for an empty value */
  text(name: string): string | undefined {
    const value = this.#values[name];
    if (typeof value !== "string") return undefined;
    if (value === "") {
      throw new GantryError("usage", `${flagOf(name)} needs a value, and got an empty one`, {
        hint: "Give it a value, or leave the flag out.",
      });
    }
    return value;
  }

  /** Every value of a flag that may be repeated. */
  texts(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
  }

  /** @throws GantryError `usage` unless it is a whole number of at least `min` */
  integer(name: string, min: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = Number(text);
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(number) && number >= min) return number;
    throw new GantryError("usage", `${flagOf(name)} '${text}' is not a whole number of at least ${min}`, {
      hint: `For example: ${flagOf(name)} ${Math.max(min, 20)}`,
    });
  }

  /** ms. @throws GantryError `usage` for anything but a duration like 30s or 1h30m */
  durationMs(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parseDurationMs(text, flagOf(name));
  }

  /** @throws GantryError `usage`, naming what is allowed */
  choice<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = allowed.find((entry) => entry === text);
    if (found !== undefined) return found;
    throw new GantryError("usage", `${flagOf(name)} '${text}' is not known`, {
      hint: `Choose one of: ${allowed.join(", ")}.`,
    });
  }
}

function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
