/** Whether a revision that was fetched may come into force. */
import { formatProblem, type Problem } from "../../manifest/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { type Revision, revisionText } from "./commit.ts";
import { type Content, keptBeside, type ParsedFile, withKept } from "./content.ts";
import type { GitPorts } from "./contract.ts";
import type { Kept } from "./facts.ts";
import { gitPlace, type RevisionReader } from "./read-revision.ts";
import type { Fetched, Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";
import { verifyRevision } from "./verify.ts";

export interface Candidate {
  readonly content: Content;
  readonly files: readonly ParsedFile[];
  readonly kept: readonly Kept[];
  readonly signer: string | undefined;
}

export interface ExamineOptions {
  readonly spec: GitSourceSpec;
  readonly folder: string;
  readonly repository: Repository;
  readonly reader: RevisionReader;
  readonly check: GitPorts["check"];
  readonly signal: AbortSignal;
}

/** True for what a revision is refused with; everything else is no fault of its. */
export function isRefusal(error: unknown): error is GantryError {
  return isGantryError(error, "invalid-manifest", "source-untrusted", "conflict");
}

/**
 * @param before what is in force
 * @param allowEmpty that there is nothing in it is meant
 * @throws GantryError source-untrusted, invalid-manifest, conflict (emptied)
 */
export async function examine(
  found: Fetched,
  before: Content,
  allowEmpty: boolean,
  options: ExamineOptions,
): Promise<Candidate> {
  const { spec, folder, repository, reader, signal } = options;
  const { revision } = found;
  const signer =
    spec.verify === undefined ? undefined : await verifyRevision(repository.git, spec.verify, found, signal);
  const next = await reader.read(revision.oid, folder, signal);
  const broken = next.problems.filter(({ severity }) => severity === "error");
  if (spec.policy === "all-or-nothing" && broken.length > 0) throw invalid(revision, broken);
  const brokenFiles = new Set(broken.flatMap(({ place }) => gitPlace(place.file)?.path ?? []));
  if (!allowEmpty && !spec.allowEmpty) guardEmpty(next, before, brokenFiles, revision, options);
  const kept = keptBeside(next, before, { prune: spec.prune, brokenFiles });
  const keptFiles = await reader.readKept(kept, signal);
  const content = withKept(next, kept, keptFiles);
  if (spec.policy === "all-or-nothing") {
    const clashes = options.check(spec.name, content.objects).filter(({ severity }) => severity === "error");
    if (clashes.length > 0) throw invalid(revision, clashes);
  }
  return { content, files: [...next.files, ...keptFiles], kept, signer };
}

/** A repository that was emptied, or a path that leads nowhere any more, is more often a mistake than a wish. */
function guardEmpty(
  next: Content,
  before: Content,
  brokenFiles: ReadonlySet<string>,
  revision: Revision,
  { spec, folder }: ExamineOptions,
): void {
  const count = before.objects.length;
  // One broken file must not open the door: only what it had is kept.
  const stays = [...before.origins.values()].some(({ path }) => brokenFiles.has(path));
  if (next.objects.length > 0 || (brokenFiles.size > 0 && (stays || count === 0))) return;
  const where = folder === "" ? "" : ` in the folder ${folder}`;
  const what = `revision ${revisionText(revision)} has no ${brokenFiles.size > 0 ? "good " : ""}manifests${where}`;
  if (count === 0) throw new GantryError("conflict", what, { hint: "Correct path of the source, or push manifests." });
  throw new GantryError(
    "conflict",
    `${what} any more, and ${count === 1 ? "one object is" : `${count} objects are`} in force`,
    {
      hint: `If that is meant: gantry sync now ${spec.name} --allow-empty`,
    },
  );
}

function invalid(revision: Revision, problems: readonly Problem[]): GantryError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return new GantryError(
    "invalid-manifest",
    `revision ${revisionText(revision)} has errors: ${first === undefined ? "" : formatProblem(first).replaceAll("\n", " ")}${more}`,
    { hint: "Mend the manifests and push again; what is in force stays.", details: { problems } },
  );
}
