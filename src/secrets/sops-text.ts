/** Scalars as SOPS writes them into its MAC, which is as Go prints them. Pure. */
import type { Scalar } from "yaml";

/** What a value in clear adds to the MAC. */
export function macText({ value, source, type }: Scalar): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return numberText(value, source);
  if (typeof value === "bigint") return value.toString();
  const text = String(value);
  // Go's YAML reads an unquoted date as a time.
  if (type === "PLAIN" && /^\d{4}-\d{2}-\d{2}$/.test(text)) return `${text}T00:00:00Z`;
  return text;
}

/** Never with an exponent: Go's format 'f' with the fewest digits. */
function numberText(value: number, source: string | undefined): string {
  if (Number.isSafeInteger(value)) return value.toString();
  // Integers beyond 2^53 are exact in Go.
  if (source !== undefined && /^[-+]?\d+$/.test(source)) return BigInt(source.replace("+", "")).toString();
  const [, sign = "", whole = "0", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]\d+))?$/.exec(value.toString()) ?? [];
  const shift = Number(exponent);
  const digits = `${whole}${fraction}`;
  const point = whole.length + shift;
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (point >= digits.length) return sign + digits.padEnd(point, "0");
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
