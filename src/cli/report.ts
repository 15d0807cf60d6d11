import { type GantryError, messageOf } from "../system/errors.ts";
import { exitCodeOf } from "./exit.ts";
import type { Out } from "./output/out.ts";
import { printable } from "./output/text.ts";

/**
 * Tells of an error: `error:` and `hint:` on stderr; with -o json also a v1 Status on stdout, unless data went there.
 *
 * @returns the exit code
 */
export async function reportError(error: GantryError, out: Out, verbose: boolean): Promise<number> {
  const { red, cyan, dim } = out.errorColors;
  const lines = [`${red("error:")} ${printable(error.message)}`];
  if (error.hint !== undefined) lines.push(`${cyan("hint:")} ${printable(error.hint)}`);
  if (verbose) lines.push(dim(printable(trail(error))));
  out.note(lines.join("\n"));
  if (out.format === "json" && !out.started) await out.structured(toStatus(error));
  return exitCodeOf(error.code);
}

/** The Kubernetes form of an error, with Gantry's code as its reason. */
export function toStatus(error: GantryError): Record<string, unknown> {
  return {
    apiVersion: "v1",
    kind: "Status",
    status: "Failure",
    reason: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
  };
}

/** Where an error came from: its stack, its facts, and what caused it. */
function trail(error: GantryError): string {
  const parts = [error.stack ?? error.message];
  if (Object.keys(error.details).length > 0) parts.push(`details: ${JSON.stringify(error.details)}`);
  let cause: unknown = error.cause;
  // A chain of causes that bites its own tail would never end.
  for (let depth = 0; cause !== undefined && depth < 8; depth += 1) {
    parts.push(`caused by: ${cause instanceof Error ? (cause.stack ?? cause.message) : messageOf(cause)}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return parts.join("\n");
}
