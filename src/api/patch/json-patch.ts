/** JSON patches (RFC 6902). */
import { applyPatch, type Operation } from "rfc6902";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";

/** As many as the API server of Kubernetes takes. */
const MOST_OPERATIONS = 10_000;

const pointer = z.string().regex(/^(\/|$)/, "must be empty or begin with '/'");
const operation = z.discriminatedUnion("op", [
  z.object({ op: z.enum(["add", "replace", "test"]), path: pointer, value: z.unknown() }),
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
  const failures = applyPatch(result, parsed.data as Operation[]);
  const index = failures.findIndex((failure) => failure !== null);
  if (index < 0) return result;
  const { op, path } = parsed.data[index] ?? {};
  throw new GantryError("invalid-manifest", `operation ${index} (${op} ${path}): ${failures[index]?.message}`, {
    hint: "Nothing was changed. Look at the object as it is now.",
  });
}
