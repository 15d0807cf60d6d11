import { type ApiClient, createApiClient } from "../../api/client.ts";
import { layout } from "../../system/paths.ts";
import { candidatesFor } from "../completion/candidates.ts";
import { readCursor } from "../completion/words.ts";
import { oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

/** A shell that waits is worse than one that does not complete. */
const PATIENCE_MS = 1000;

export const complete: CommandSpec = {
  summary: "What a half-typed command line can go on with, for the completion scripts",
  description: "Prints one candidate a line, with a tab before its description; or ':files' for names of files.",
  arguments: [
    { syntax: "[words...]", description: "after '--': the words after gantry, the last one being the one to complete" },
  ],
  options: [{ flags: "--shell <name>", description: "for whom", complete: ["bash", "zsh", "fish"] }],
  outputs: [],
  examples: [{ line: "gantry __complete -- logs w", does: "which pods begin with w" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const bash = flags.text("shell") === "bash";
  const cursor = await readCursor(bash ? rejoined(args) : args);
  const root = cursor.values.get("root") ?? context.root;
  const client = await clientOf(cursor.values, layout(root).socket, context);
  const late = new Promise<[]>((resolve) => setTimeout(() => resolve([]), PATIENCE_MS).unref());
  // Without a daemon there are no names to offer, and a completion has nowhere to complain.
  const found = await Promise.race([candidatesFor(cursor, client).catch(() => []), late]);
  if (found === "files") {
    context.out.line(":files");
    return 0;
  }
  for (const { value, description } of found) {
    const text = bash ? afterBreak(cursor.prefix + value, cursor.prefix + cursor.typed) : cursor.prefix + value;
    context.out.line(description === "" ? text : `${text}\t${oneLine(description)}`);
  }
  return 0;
}

async function clientOf(
  values: ReadonlyMap<string, string>,
  socketPath: string,
  { env }: Call["context"],
): Promise<ApiClient> {
  const [host, kubeconfig, named] = ["host", "kubeconfig", "context"].map((name) => values.get(name));
  const remote = { host: host ?? (env["GANTRY_HOST"] || undefined), kubeconfig, context: named };
  if (Object.values(remote).every((value) => value === undefined)) return createApiClient({ socketPath });
  const { remoteEndpoint } = await import("../kubeconfig/endpoint.ts");
  return createApiClient(await remoteEndpoint(remote, env).catch(() => ({ socketPath })));
}

/** bash breaks words at '=' and ':'; this puts "--for", "=", "re" together again. */
function rejoined(words: readonly string[]): string[] {
  const joined: string[] = [];
  let glue = false;
  for (const word of words) {
    const breaks = word === "=" || word === ":";
    if ((breaks || glue) && joined.length > 0) joined.push(`${joined.pop() ?? ""}${word}`);
    else joined.push(word);
    glue = breaks;
  }
  return joined;
}

/** ... and it replaces only the part after the last of them. */
function afterBreak(candidate: string, typed: string): string {
  const at = Math.max(typed.lastIndexOf("="), typed.lastIndexOf(":"));
  return candidate.slice(at + 1);
}
