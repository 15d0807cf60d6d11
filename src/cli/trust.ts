import type { Trust } from "../trust/index.ts";
import type { Context } from "./context.ts";

/** The rules as the daemon of this root has them. @throws GantryError invalid-config */
export async function openTrust({
  paths,
}: Context): Promise<{ readonly trust: Trust; readonly notes: readonly string[] }> {
  const { loadConfig } = await import("../config/index.ts");
  const { createTrust } = await import("../trust/index.ts");
  const { silentLogger } = await import("../system/log.ts");
  const { trust: settings } = await loadConfig({ paths });
  const trust = createTrust({ paths, default: settings.default, imports: settings.imports, log: silentLogger() });
  return { trust, notes: [] };
}
