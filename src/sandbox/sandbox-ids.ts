import { join } from "node:path";
import type { Paths } from "../system/paths.ts";
import { namesIn } from "./namespace/files.ts";

/** Below `run`: one directory per sandbox, in one of these for each kind. */
const PLACES = ["sandboxes", "vms"];

/** Ids of all sandboxes, of every driver: what is known to one of them is no other's garbage. */
export async function sandboxIds(paths: Pick<Paths, "run">): Promise<Set<string>> {
  const names = await Promise.all(PLACES.map((place) => namesIn(join(paths.run, place))));
  return new Set(names.flat().filter((name) => !name.startsWith(".")));
}
