import { formatProblem, parseManifest } from "../manifest/index.ts";
import { GantryError } from "../system/errors.ts";
import { shrinkProblems } from "../volume/claim/shrink.ts";
import type { ClaimVolumes } from "../volume/index.ts";

/** What can't come true is not written. @throws GantryError invalid-manifest */
export async function refuseShrinking(volumes: ClaimVolumes, text: string, fileName = "manifest"): Promise<void> {
  const { objects } = parseManifest(fileName, Buffer.from(text));
  if (!objects.some(({ object }) => object.kind === "PersistentVolumeClaim")) return;
  const problems = shrinkProblems(objects, await volumes.list());
  if (problems.length === 0) return;
  throw new GantryError("invalid-manifest", problems.map(formatProblem).join("\n"), {
    hint: "Nothing was changed. Mend the manifest and try again.",
    details: { problems },
  });
}
