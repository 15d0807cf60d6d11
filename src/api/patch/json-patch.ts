/** JSON patches (RFC 6902). */
import { applyPatch, type Operation, Pointer } from "rfc6902";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import { httpError } from "../status-error.ts";
import { refuseExcess } from "./plain.ts";

/** As many as the API server of Kubernetes takes. */
const MOST_OPERATIONS = 10_000;
/** What all copies of a patch may add together: each may double what is there. Characters of JSON. */
const MOST_COPIED = 3 * 1024 * 1024;
/** Names that the library skips on its way, or by which it would change what no patch is about. */
const UNSAFE: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

const pointer = z
  .string()
  .regex(/^(\/|$)/, "must be empty or begin with '/'")
  .refine((path) => !tokensOf(path).some((token) => UNSAFE.has(token)), "has a name that no field may have");
const operation = z.discriminatedUnion("op", [
  z
    .object({ op: z.enum(["add", "replace", "test"]), path: pointer, value: z.unknown() })
    .refine((given) => Object.hasOwn(given, "value") && given.value !== undefined, "has no value"),
  z.object({ op: z.literal("remove"), path: pointer }),
  z.object({ op: z.enum(["move", "copy"]), path: pointer, from: pointer }),
]);
const operations = z.array(operation).max(MOST_OPERATIONS);

/** @throws GantryError usage (it is no JSON patch), invalid-manifest (it can't be applied to `value`) */
export function jsonPatch(value: unknown, patch: unknown): unknown {
  const parsed = operations.safeParse(patch);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? "it" : `operation ${issue.path.join(".")}`;
    throw new GantryError("usage", `the body is not a JSON patch: ${where}: ${issue?.message ?? "can't be read"}`, {
      hint: 'Send a list such as [{"op":"replace","path":"/spec/replicas","value":3}].',
    });
  }
  const result: unknown = structuredClone(value);
  let copied = 0;
  for (const [index, one] of parsed.data.entries()) {
    if (one.op === "copy") copied += sizeOf(valueAt(result, tokensOf(one.from)));
    if (copied > MOST_COPIED)
      throw httpError("RequestEntityTooLarge", `the copies of the patch are larger than ${MOST_COPIED} bytes`);
    const failure = missing(result, one) ?? applyPatch(result, [one as Operation])[0]?.message;
    if (failure === undefined) continue;
    throw new GantryError("invalid-manifest", `operation ${index} (${one.op} ${one.path}): ${failure}`, {
      hint: "Nothing was changed. Look at the object as it is now.",
    });
  }
  refuseExcess(result);
  return result;
}

function sizeOf(value: unknown): number {
  refuseExcess(value);
  return JSON.stringify(value)?.length ?? 0;
}

function tokensOf(path: string): readonly string[] {
  return Pointer.fromJSON(path.startsWith("/") ? path : "").tokens.slice(1);
}

/** The library would find what objects inherit, too (`/toString/call`), and change it for everybody. */
function missing(value: unknown, one: z.output<typeof operation>): string | undefined {
  const place = tokensOf(one.path);
  const isAdding = one.op === "add" || one.op === "move" || one.op === "copy";
  const needed = isAdding ? valueAt(value, place.slice(0, -1)) : valueAt(value, place);
  if (needed === undefined || (isAdding && (typeof needed !== "object" || needed === null)))
    return `nothing is at ${one.path}`;
  return "from" in one && valueAt(value, tokensOf(one.from)) === undefined ? `nothing is at ${one.from}` : undefined;
}

function valueAt(value: unknown, tokens: readonly string[]): unknown {
  let found = value;
  for (const token of tokens) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, token)) return undefined;
    if (Array.isArray(found) && !/^\d+$/.test(token)) return undefined;
    found = Reflect.get(found, token);
  }
  return found;
}
