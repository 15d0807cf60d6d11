/** Kinds of values that several sections of the configuration share. */
import { z } from "zod";

export const absolutePath = z.string().refine((path) => path.startsWith("/"), "must be an absolute path");
export const file = absolutePath.refine((path) => !path.endsWith("/"), "must be the path of a file");

/** A whole number, or a binary quantity such as 512Ki, 10Mi, 1Gi. Yields bytes. */
export const bytes = z.union([z.int(), z.string()]).transform((value, context) => {
  const parsed = typeof value === "number" ? value : parseBytes(value);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "must be a number of bytes or a quantity such as 512Ki, 10Mi or 1Gi" });
  return z.NEVER;
});

const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/** Undefined when it is not well-formed. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,12})(Ki|Mi|Gi)?$/.exec(text);
  const unit = UNITS[match?.[2] ?? ""];
  return match?.[1] === undefined || unit === undefined ? undefined : Number(match[1]) * unit;
}

export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
export const isDnsSubdomain = (name: string): boolean =>
  name.length <= 253 && name.split(".").every((label) => DNS_LABEL.test(label));
