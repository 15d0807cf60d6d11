import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

/** One runnable file of examples/, and what its header says about it. */
export interface ExampleFile {
  readonly name: string;
  readonly text: string;
  /** Names of the pods in it. */
  readonly pods: readonly string[];
  /** Names of what keeps pods in it: theirs begin so. */
  readonly keepers: readonly string[];
  /** Phase that every pod of it reaches. */
  readonly phase: string;
  /** Text that the logs of its containers hold together. */
  readonly log: string | undefined;
  /** Reason that a container of it ended with. */
  readonly reason: string | undefined;
  readonly restarts: number | undefined;
  /** URL to fetch from the host, and text in the answer. */
  readonly http: { readonly url: string; readonly text: string } | undefined;
  /** A seccomp profile that the host must have: its path in the folder for them, and its text. */
  readonly profile: { readonly name: string; readonly text: string } | undefined;
  /** Why a micro-VM does not run it: part of what the pod's status says then; or why there is no point in trying. */
  readonly microvm: { readonly refused: string } | { readonly skipped: string } | undefined;
}

const DIRECTORY = "examples";

export function readExamples(): ExampleFile[] {
  return readdirSync(DIRECTORY)
    .filter((name) => /\.(ya?ml|json)$/.test(name) && name !== "config.yaml")
    .map((name) => readExample(name));
}

function readExample(name: string): ExampleFile {
  const text = readFileSync(join(DIRECTORY, name), "utf8");
  // In JSON, which has no comments, the same words are annotations.
  const expected = (key: string): string | undefined =>
    (new RegExp(`^# ${key}: (.*)$`, "m").exec(text) ?? new RegExp(`^ *"${key}": "(.*)",?$`, "m").exec(text))?.[1];
  const phase = expected("expect");
  if (phase === undefined) throw new Error(`${DIRECTORY}/${name} has no line "# expect: PHASE"`);
  const [url, ...words] = expected("expect-http")?.split(" ") ?? [];
  const restarts = expected("expect-restarts");
  const profile = /^(\S+) (.*)$/.exec(expected("profile") ?? "");
  return {
    name,
    text,
    pods: namesIn(text, ["Pod"]),
    keepers: namesIn(text, ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"]),
    phase,
    log: expected("expect-log"),
    reason: expected("expect-reason"),
    restarts: restarts === undefined ? undefined : Number(restarts),
    http: url === undefined ? undefined : { url, text: words.join(" ") },
    profile: profile === null ? undefined : { name: profile[1] ?? "", text: profile[2] ?? "" },
    microvm: microvmOf(expected("microvm")),
  };
}

function microvmOf(line: string | undefined): ExampleFile["microvm"] {
  if (line === undefined) return undefined;
  const [verb = "", ...words] = line.split(" ");
  const why = words.join(" ");
  if (verb === "refused") return { refused: why };
  if (verb === "skipped") return { skipped: why };
  throw new Error(`"# microvm: ${line}" is neither "refused TEXT" nor "skipped WHY"`);
}

function namesIn(text: string, kinds: readonly string[]): string[] {
  return parseAllDocuments(text).flatMap((document) => namesOf(document.toJS(), kinds));
}

function namesOf(object: unknown, kinds: readonly string[]): string[] {
  if (typeof object !== "object" || object === null || !("kind" in object)) return [];
  if (object.kind === "List" && "items" in object && Array.isArray(object.items))
    return object.items.flatMap((item) => namesOf(item, kinds));
  if (!kinds.includes(String(object.kind)) || !("metadata" in object)) return [];
  const { metadata } = object;
  return typeof metadata === "object" && metadata !== null && "name" in metadata ? [String(metadata.name)] : [];
}
