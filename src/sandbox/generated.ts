import type { GeneratedKind, PreparedVolume } from "./driver.ts";

const GENERATED: Readonly<Record<GeneratedKind, true>> = {
  configMap: true,
  secret: true,
};

/** Whether a subPath that is not there may be made in it. */
export function mayMakeSubPath(volume: Pick<PreparedVolume, "kind">): boolean {
  return !isGenerated(volume) && volume.kind !== "image";
}

/** Whether Gantry writes the files of such a volume itself. */
export function isGenerated({ kind }: Pick<PreparedVolume, "kind">): boolean {
  return Object.hasOwn(GENERATED, kind);
}
