import { GantryError } from "../system/errors.ts";
import { nearestName } from "../system/nearest.ts";
import type { VolumeEntry } from "../volume/index.ts";
import type { Context } from "./context.ts";
import { parsePodRef } from "./parse/pod-name.ts";

/** @param text NAME or NAMESPACE/NAME @throws GantryError usage, not-found with the nearest name */
export async function findVolume(context: Context, text: string): Promise<VolumeEntry> {
  const { namespace, name } = parsePodRef(text, context);
  const all = await (await context.client()).listVolumes();
  const found = all.find((volume) => volume.namespace === namespace && volume.name === name);
  if (found !== undefined) return found;
  const near = nearestName(
    name,
    all.filter((volume) => volume.namespace === namespace).map((volume) => volume.name),
  );
  throw new GantryError("not-found", `there is no volume ${namespace}/${name}`, {
    hint: near === undefined ? "See 'gantry volume ls' for what there is." : `Did you mean '${near}'?`,
  });
}
