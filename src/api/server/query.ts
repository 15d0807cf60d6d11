import { GantryError } from "../../system/errors.ts";

/** The query parameters of a request, each checked as it is read. Parameters nobody asks for are ignored, as in Kubernetes. */
export class Query {
  readonly #params: URLSearchParams;

  /** @param url path and query, as in the request line */
  constructor(url: string) {
    const start = url.indexOf("?");
    this.#params = new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
  }

  /** Every value of a parameter that may be repeated. */
  all(name: string): string[] {
    return this.#params.getAll(name);
  }

  /** Undefined when it is absent or empty. @throws GantryError usage when it is given twice */
  text(name: string): string | undefined {
    const values = this.#params.getAll(name);
    if (values.length > 1) throw bad(name, values.join(", "), "is given more than once", `Give ${name} once.`);
    return values[0] === "" ? undefined : values[0];
  }

  /** @throws GantryError usage unless true, false, 1 or 0; `?follow` alone means true */
  flag(name: string): boolean {
    if (!this.#params.has(name)) return false;
    const value = this.text(name);
    switch (value?.toLowerCase()) {
      case undefined:
      case "true":
      case "1":
        return true;
      case "false":
      case "0":
        return false;
      default:
        throw bad(name, value ?? "", "is neither true nor false", `Write ${name}=true.`);
    }
  }

  /** @throws GantryError usage unless it is a whole number from `min` up */
  integer(name: string, min = 0): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min) return number;
    throw bad(name, value, `is not a whole number from ${min} up`, `Write ${name}=${min + 10}, for example.`);
  }

  /** Seconds, fractions allowed. @returns ms @throws GantryError usage */
  secondsAsMs(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (/^\d{1,12}(\.\d+)?$/.test(value)) return Math.round(Number(value) * 1000);
    throw bad(name, value, "is not a number of seconds", `Write ${name}=30, for example.`);
  }

  /** RFC 3339. @returns ms since the epoch @throws GantryError usage */
  time(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const time = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d/.test(value) ? Date.parse(value) : Number.NaN;
    if (!Number.isNaN(time)) return time;
    throw bad(name, value, "is not a time", `Write ${name}=2026-01-31T12:00:00Z, for example.`);
  }
}

function bad(name: string, value: string, why: string, hint: string): GantryError {
  return new GantryError("usage", `${name}: '${value.slice(0, 100)}' ${why}`, { hint });
}
