/**
 * Kubernetes quantities: `<signed number><suffix>`, where the suffix is binary (Ki … Ei), decimal
 * (n u m "" k M G T P E) or an exponent (e3, E3). Grammar: k8s.io/apimachinery/pkg/api/resource.
 */
const PATTERN = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?\d{1,3}))?$/;

const BINARY: Readonly<Record<string, bigint>> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};

const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };

/**
 * The value of a quantity in its base unit (cores, bytes), or undefined when `text` is no quantity.
 * Computed in integers, so that it is exact wherever a double can hold the result.
 */
export function parseQuantity(text: string): number | undefined {
  const found = PATTERN.exec(text);
  if (found === null) return undefined;
  const [, sign = "", number = "", suffix, exponent] = found;
  const [whole = "", fraction = ""] = number.split(".");
  const digits = BigInt(`${whole}${fraction}`) * (BINARY[suffix ?? ""] ?? 1n);
  const power = (exponent === undefined ? (DECIMAL[suffix ?? ""] ?? 0) : Number(exponent)) - fraction.length;
  const value = Number(power >= 0 ? digits * 10n ** BigInt(power) : `${digits}e${power}`);
  return sign === "-" ? -value : value;
}

/** A cpu quantity in thousandths of a core, rounded up as the API server does; undefined when it is no quantity. */
export function parseMilliCpu(text: string): number | undefined {
  const cores = parseQuantity(text);
  // Rounding at a billionth first keeps 0.1 + an ulp from becoming 101m.
  return cores === undefined ? undefined : Math.ceil(Math.round(cores * 1e9) / 1e6);
}

/** A memory or storage quantity in bytes, rounded up; undefined when it is no quantity. */
export function parseBytes(text: string): number | undefined {
  const value = parseQuantity(text);
  return value === undefined ? undefined : Math.ceil(value);
}

/** Bytes as Kubernetes writes them: in the largest binary unit that divides them. */
export function quantityText(bytes: number): string {
  for (const [unit, size] of Object.entries(BINARY).reverse())
    if (bytes >= Number(size) && bytes % Number(size) === 0) return `${bytes / Number(size)}${unit}`;
  return String(bytes);
}
