import { stat } from "node:fs/promises";
import type { Config } from "../config/index.ts";
import { keyOf } from "../desired.ts";
import { describedPod, type LoadedObject, type Pod, type Problem, placeOfField } from "../manifest/index.ts";
import { errnoOf, isGantryError } from "../system/errors.ts";
import { lookingConfiner, missingConfinement } from "./confinement-checks.ts";
import type { Context } from "./context.ts";
import { openImages } from "./images.ts";

/**
 * What pods need from this host and it does not have: images, host paths, security profiles. Warnings: they may come
 * later, and a manifest may be checked on another machine than the one it is for.
 */
export async function hostProblems(
  objects: readonly LoadedObject[],
  context: Context,
  { seccomp }: Pick<Config, "seccomp">,
): Promise<Problem[]> {
  const images = await imageNames(context);
  const confiner = lookingConfiner(seccomp.profiles);
  const found = await Promise.all(
    objects.map(async (loaded) => {
      const { object } = loaded;
      const described = describedPod(object);
      if (described === undefined) return [];
      const base = described.path.map((part) => `${part}.`).join("");
      const problems = [
        ...missingImages(described.pod, images),
        ...(await missingPaths(described.pod)),
        ...(await missingConfinement(described.pod, confiner, context.signal)),
      ];
      return problems
        .map(({ field, ...said }) => ({ ...said, field: `${base}${field}` }))
        .map(
          ({ field, message, hint }): Problem => ({
            severity: "warning",
            place: placeOfField(loaded, field),
            field,
            message,
            hint,
            object: `${object.kind} ${keyOf(object)}`,
          }),
        );
    }),
  );
  return found.flat();
}

type Finding = Pick<Problem, "field" | "message" | "hint">;

interface KnownImages {
  readonly names: ReadonlySet<string>;
  readonly normalize: (name: string) => string;
}

/** Undefined when the images can't be looked at (no permission, say): then nothing is said about them. */
async function imageNames(context: Context): Promise<KnownImages | undefined> {
  try {
    const list = await (await openImages(context)).list();
    const { normalizeName } = await import("../image/index.ts");
    return { names: new Set(list.flatMap(({ names, digest }) => [...names, digest])), normalize: normalizeName };
  } catch (error) {
    if (isGantryError(error)) return undefined;
    throw error;
  }
}

/** Those that nobody will fetch: with pull policy Never, and names under "localhost", which is no registry. */
function missingImages({ spec }: Pod, images: KnownImages | undefined): Finding[] {
  if (images === undefined) return [];
  const containers = [
    ...(spec.initContainers ?? []).map((one, at) => ({ ...one, field: `spec.initContainers[${at}].image` })),
    ...spec.containers.map((one, at) => ({ ...one, field: `spec.containers[${at}].image` })),
  ];
  return containers.flatMap(({ image, imagePullPolicy, field }) => {
    const name = images.normalize(image);
    if (images.names.has(image) || images.names.has(name)) return [];
    if (imagePullPolicy !== "Never" && !name.startsWith("localhost/")) return [];
    return [{ field, message: `image '${image}' is not on this host`, hint: `gantry image import FILE ${image}` }];
  });
}

async function missingPaths({ spec }: Pod): Promise<Finding[]> {
  const findings = await Promise.all(
    (spec.volumes ?? []).map(async ({ hostPath }, at): Promise<Finding[]> => {
      if (hostPath === undefined || hostPath.type.endsWith("OrCreate")) return [];
      if (await exists(hostPath.path)) return [];
      return [
        {
          field: `spec.volumes[${at}].hostPath.path`,
          message: `'${hostPath.path}' does not exist on this host`,
          hint: pathHint(hostPath.type),
        },
      ];
    }),
  );
  return findings.flat();
}

function pathHint(type: string): string {
  if (type === "") return "make it, or use type DirectoryOrCreate or FileOrCreate";
  if (type === "Directory" || type === "File") return `make it, or use type ${type}OrCreate`;
  return "the pod waits until it is there";
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR";
  }
}
