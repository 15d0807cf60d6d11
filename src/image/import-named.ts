import { GantryError, isGantryError } from "../system/errors.ts";
import type { ImageRecord } from "./index-file.ts";
import { writeBlob } from "./layout.ts";
import { digestIn } from "./many.ts";
import type { Shelf } from "./shelf.ts";
import type { Source } from "./source.ts";
import { proofOf, stage } from "./stage.ts";

/** One image of an archive, by all of its names. @throws GantryError as `ImageStore.importAll` tells */
export async function importNamed(
  shelf: Shelf,
  source: Source,
  names: readonly string[],
  temp: string,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const [first = "", ...others] = names;
  const staged = await stage(source, {
    name: first,
    temp,
    policy: shelf.at.policy,
    limits: shelf.limits,
    signal,
  }).catch((error: unknown) => Promise.reject(ofImage(error, first)));
  const held = await shelf.held(staged.configDigest);
  const root = held ? undefined : await shelf.build(staged, staged.layout, temp, signal);
  let record: ImageRecord | undefined;
  for (const name of [first, ...others]) {
    const digest = digestIn(name);
    const proof = digest === undefined ? undefined : await proofOf(source, digest, staged.manifestDigest);
    // A name with a digest is a promise about the content, which an archive can't make by itself.
    if (digest !== undefined && digest !== staged.manifestDigest && proof === undefined) continue;
    const documents = proof === undefined ? [] : [(await writeBlob(staged.layout, proof, "")).digest];
    record = await shelf.commit(name, staged, record === undefined ? root : undefined, signal, {
      aliases: digest === undefined ? [] : [digest],
      documents,
    });
  }
  if (record !== undefined) return record;
  throw new GantryError("image-invalid", `the archive has other content for ${first} than its digest says`, {
    hint: "Import it under a name with a tag: gantry image import FILE NAME.",
  });
}

function ofImage(error: unknown, name: string): unknown {
  if (!isGantryError(error, "image-invalid")) return error;
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return new GantryError("image-invalid", `${name}: ${error.message}`, { cause: error, ...hint });
}
