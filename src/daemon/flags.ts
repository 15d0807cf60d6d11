import { type ConfigLayer, put, settings } from "../config/index.ts";
import { GantryError } from "../system/errors.ts";
import { nearestName } from "../system/nearest.ts";

/**
 * Settings given as text on the command line, by the names that they have in the config file ("log.level").
 * @throws GantryError `usage` for a name that is no setting; values are checked by the config's schema
 */
export function flagLayer(flags: Readonly<Record<string, string>>, manifests: readonly string[]): ConfigLayer {
  const layer: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(flags)) {
    const setting = settings.find(({ path }) => path === name);
    if (setting === undefined) {
      const near = nearestName(
        name,
        settings.map(({ path }) => path),
      );
      throw new GantryError("usage", `there is no setting '${name}'`, {
        hint: near === undefined ? "List them all: gantry config" : `Did you mean '${near}'?`,
      });
    }
    put(layer, name, setting.fromText(text));
  }
  if (manifests.length > 0) layer["manifests"] = manifests;
  return layer;
}
