/** Messages that JSON writes as something else than an object of their fields. Pure. */

const SPECIAL = {
  "resource.Quantity": ({ string: text = "" }) => text,
  "intstr.IntOrString": ({ type = 0, intVal = 0, strVal = "" }) => (type === 0 ? intVal : strVal),
  "meta/v1.Time": (time) => timeText(time, 0),
  "meta/v1.MicroTime": (time) => timeText(time, 6),
  "authorization/v1.ExtraValue": ({ items = [] }) => items,
  "authentication/v1.ExtraValue": ({ items = [] }) => items,
} satisfies Record<string, (value: Record<string, unknown>) => unknown>;

export function isSpecial(type: string): type is keyof typeof SPECIAL {
  return Object.hasOwn(SPECIAL, type);
}

/** @throws Error for a time that there is not */
export function specialValue(type: keyof typeof SPECIAL, value: Record<string, unknown>): unknown {
  return SPECIAL[type](value);
}

/** RFC 3339, as Go writes it; Go's own zero is empty here, and null in JSON. */
function timeText(time: Record<string, unknown>, digits: number): string | null {
  if (Object.keys(time).length === 0) return null;
  const [seconds = 0, nanos = 0] = [time["seconds"], time["nanos"]].map((value) => Number(value ?? 0));
  const date = new Date(seconds * 1000);
  const text = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  if (!/^\d{4}-/.test(text) || nanos < 0 || nanos >= 1e9) throw new Error(`${seconds} s and ${nanos} ns are no time`);
  const fraction = digits === 0 ? "" : `.${String(nanos).padStart(9, "0").slice(0, digits)}`;
  return `${text.slice(0, "2026-01-31T12:00:00".length)}${fraction}Z`;
}
