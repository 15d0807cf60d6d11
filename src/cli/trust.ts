import type { Trust, TufFollower } from "../trust/index.ts";
import type { Context } from "./context.ts";

export interface OpenedTrust {
  readonly trust: Trust;
  /** Where a TUF repository is configured. */
  readonly follower: TufFollower | undefined;
}

/** The rules as the daemon of this root has them. @throws GantryError invalid-config */
export async function openTrust({ paths }: Pick<Context, "paths">): Promise<OpenedTrust> {
  const { loadConfig } = await import("../config/index.ts");
  const { createTrust, followDir, TufFollower } = await import("../trust/index.ts");
  const { silentLogger } = await import("../system/log.ts");
  const { systemClock } = await import("../system/clock.ts");
  const { trust: settings } = await loadConfig({ paths });
  const follower = settings.tuf && new TufFollower({ ...settings.tuf, dir: followDir(paths), clock: systemClock });
  const trust = createTrust({
    paths,
    default: settings.default,
    imports: settings.imports,
    ...(follower !== undefined && { followed: () => follower.current() }),
    log: silentLogger(),
  });
  return { trust, follower };
}
