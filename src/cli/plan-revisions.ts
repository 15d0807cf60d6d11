/** `gantry plan --from … --to …` and `--against …`: two sets of manifests, and no daemon. */
import { isAbsolute } from "node:path";
import { loadConfig } from "../config/index.ts";
import type { Problem } from "../manifest/index.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import { type Comparison, compare } from "./compare.ts";
import type { Context } from "./context.ts";
import type { Flags } from "./flags.ts";
import { type Manifests, readManifests, understand } from "./manifests.ts";
import type { Inputs } from "./read-input.ts";
import { isRemoteUrl, readRevision, withRemote } from "./revision.ts";

export interface RevisionPlan extends Comparison {
  /** Of what would be there afterwards; what was wrong before is not to be objected to now. */
  readonly problems: readonly Problem[];
  readonly unseen: readonly string[];
}

const EMPTY: Inputs = { inputs: [], problems: [] };

/** True when the command line asks for a comparison of manifests with manifests. */
export function comparesRevisions(flags: Flags): boolean {
  return ["from", "to", "against", "repo"].some((name) => flags.text(name) !== undefined);
}

/** @throws GantryError `usage` for flags that don't go together, and what reading revisions throws */
export async function planRevisions(context: Context, flags: Flags, path: string | undefined): Promise<RevisionPlan> {
  const { runtime, secrets } = await loadConfig({ paths: context.paths });
  const given = flags.texts("ageKey");
  const keys = given.length > 0 ? given : secrets.age.keys;
  const [from, to, against] = [flags.text("from"), flags.text("to"), flags.text("against")];
  const understood = (inputs: Inputs): Promise<Manifests> => understand(inputs, runtime.handlers, keys);
  const read = (place: string): Promise<Manifests> => readManifests([place], runtime.handlers, keys);
  if (against === undefined) {
    if (from === undefined) throw usage("--to and --repo need --from, the revision to compare with");
    const repo = { directory: flags.text("repo") ?? ".", signal: context.signal };
    const inside = path ?? "";
    const old = await readRevision(repo, from, inside);
    const fresh = await readRevision(repo, to ?? "HEAD", inside);
    if (old === undefined && fresh === undefined) {
      throw new GantryError("not-found", `neither revision has ${inside === "" ? "a file" : inside}`, {
        hint: "Give the path from the top of the repository.",
      });
    }
    return result(await understood(old ?? EMPTY), await understood(fresh ?? EMPTY));
  }
  if (to !== undefined || flags.text("repo") !== undefined) throw usage("--to and --repo don't go with --against");
  const place = path ?? ".";
  const after = await read(place);
  if (!isRemoteUrl(against)) {
    if (from !== undefined) throw usage("--from goes with --against only when that is a URL");
    return result(await read(against).catch(emptyFolder), after);
  }
  const inside = flags.text("path") ?? place;
  if (isAbsolute(inside) || inside.startsWith(".."))
    throw usage(`say where ${place} is in that repository: --path PATH`);
  const before = await withRemote(against, from, context.signal, async (repo, revision) => {
    return understood((await readRevision(repo, revision, inside)) ?? EMPTY);
  });
  return result(before, after);

  function result(before: Manifests, after: Manifests): RevisionPlan {
    const closed = after.problems.filter(({ message }) => message.startsWith("is encrypted with"));
    const unseen = closed.map(({ place: { file } }) => `${file} is encrypted: its changes are not compared`);
    return { ...compare(before, after, runtime.handlers), problems: after.problems, unseen };
  }
}

/** A folder without manifests asks for nothing. */
function emptyFolder(error: unknown): Promise<Manifests> {
  if (isGantryError(error, "not-found") && error.message.includes("holds no")) return understand(EMPTY);
  throw error;
}

function usage(message: string): GantryError {
  return new GantryError("usage", message, {
    hint: "For example: gantry plan manifests --from origin/main --to HEAD",
  });
}
