import { GantryError } from "../system/errors.ts";

/** @throws internal for an id that could not be a file name, a cgroup and a CNI container id at once. */
export function assertValidIds(...ids: readonly string[]): void {
  for (const id of ids) {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(id)) {
      throw new GantryError("internal", `"${id}" cannot be the id of a sandbox or container`, {
        kind: "system",
        hint: "Ids consist of a-z, 0-9 and '-', 63 characters at most.",
      });
    }
  }
}
