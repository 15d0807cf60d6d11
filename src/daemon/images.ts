import type { Config } from "../config/index.ts";
import { createImageStore, type ImageStore } from "../image/index.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { createTrust, followDir, type Trust, TufFollower } from "../trust/index.ts";

export interface Images {
  readonly images: ImageStore;
  readonly trust: Trust;
  /** Where trust.tuf is set. */
  readonly follower: TufFollower | undefined;
}

/** The image store, and the rules about which images it may take and run. */
export function createImages(parts: {
  readonly paths: Paths;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
}): Images {
  const { paths, config, clock, log } = parts;
  const { tuf } = config.trust;
  const follower = tuf && new TufFollower({ ...tuf, dir: followDir(paths), clock });
  const trust = createTrust({
    paths,
    default: config.trust.default,
    imports: config.trust.imports,
    ...(follower !== undefined && { followed: () => follower.current() }),
    log,
  });
  const pulls = { perRegistry: config.images.pullsPerRegistry, stallMs: config.images.pullStallSeconds * 1000 };
  return { images: createImageStore({ paths, log, clock, trust, pulls }), trust, follower };
}
