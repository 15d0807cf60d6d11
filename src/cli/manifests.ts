import { buildDesired, type Desired } from "../desired.ts";
import { byPosition, type LoadedObject, type ParseResult, type Problem } from "../manifest/index.ts";
import { closedProblem, encryptionOf, parseBytes, Undecryptable } from "../secrets/index.ts";
import { distinct } from "../source/duplicates.ts";
import { GantryError } from "../system/errors.ts";
import { placeOf } from "./output/problems.ts";
import { oneLine } from "./output/text.ts";
import type { PodRef } from "./parse/pod-name.ts";
import { type Input, type Inputs, readInputs } from "./read-input.ts";

/** Manifests as the daemon would understand them, read without one. */
export interface Manifests {
  /** How many files they were in. */
  readonly files: number;
  /** One of each. */
  readonly objects: readonly LoadedObject[];
  readonly desired: Desired;
  /** Everything that is wrong with them, by file and position. */
  readonly problems: readonly Problem[];
}

/** The runtime classes that this version has a driver for. */
const RUNTIME_CLASSES = ["namespace", "microvm"];

/** OCI runtimes that the host's configuration gives to RuntimeClass handlers. */
export type Handlers = Readonly<Record<string, string>>;

/** @throws GantryError `not-found` or `usage` for what can't be read; what is wrong inside is in `problems` */
export async function readManifests(
  paths: readonly string[],
  handlers: Handlers = {},
  keyFiles: readonly string[] = [],
): Promise<Manifests> {
  return understand(await readInputs(paths), handlers, keyFiles);
}

/** Manifests that were read already, from wherever. @param keyFiles age identities for those that are encrypted */
export async function understand(
  { inputs, problems: unread }: Inputs,
  handlers: Handlers = {},
  keyFiles: readonly string[] = [],
): Promise<Manifests> {
  const parsed = await Promise.all(inputs.map((input) => parse(input, keyFiles)));
  const { objects, problems } = distinct(
    parsed.flatMap((result) => result.objects),
    () => undefined,
  );
  const desired = desiredOf(objects, handlers);
  const all = [...unread, ...parsed.flatMap((result) => result.problems), ...problems, ...desired.problems];
  return { files: inputs.length + unread.length, objects, desired, problems: byPosition(all) };
}

async function parse({ path, bytes }: Input, keyFiles: readonly string[]): Promise<ParseResult> {
  const encryption = encryptionOf(bytes);
  if (encryption !== undefined && keyFiles.length === 0) {
    // Whoever checks a repository need not be the one who may read its secrets.
    const closed = new Undecryptable(
      `is encrypted with ${encryption === "age" ? "age" : "SOPS"}: what is in it is not checked`,
      "give the key (--age-key FILE, or secrets.age.keys in the configuration) to check it, too",
    );
    return { objects: [], problems: [{ ...closedProblem(path, closed), severity: "warning" }] };
  }
  return parseBytes(path, bytes, keyFiles);
}

/** What `objects` ask for, with nothing that runs already. Pure. */
export function desiredOf(objects: readonly LoadedObject[], handlers: Handlers = {}): Desired {
  return buildDesired(objects, {
    drivers: RUNTIME_CLASSES,
    defaultRuntimeClass: "namespace",
    handlers,
    accepted: new Map(),
  });
}

/**
 * The pods that manifests describe.
 * @throws GantryError `invalid-manifest` when any of them is broken: what it describes can't be told
 */
export async function podsIn(paths: readonly string[]): Promise<PodRef[]> {
  const { objects, problems } = await readManifests(paths);
  const broken = problems.find(({ severity }) => severity === "error");
  if (broken !== undefined) {
    throw new GantryError("invalid-manifest", `${placeOf(broken)}: ${oneLine(broken.message)}`, {
      hint: broken.hint ?? `'gantry validate ${paths.join(" ")}' shows all that is wrong.`,
    });
  }
  return objects.flatMap(({ object }) =>
    object.kind === "Pod"
      ? [{ namespace: object.metadata.namespace ?? "default", name: object.metadata.name, namespaceGiven: true }]
      : [],
  );
}
