import type { NewEvent } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Effective, Trust, TufFollower } from "../trust/index.ts";

export interface TrustKeeperParts {
  readonly trust: Trust;
  readonly follower: TufFollower | undefined;
  readonly followIntervalMs: number;
  /** The rules are others than before: whatever waits for an image tries again. */
  readonly onChange: () => void;
  readonly event: (event: NewEvent) => void;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The policy's files are looked at this often: some stats. ms */
const LOOK_MS = 2000;
/** A repository that can't be followed is asked again after this long, or its interval, if that is shorter. ms */
const RETRY_MS = 60_000;

/** Notices when the rules change, and follows the TUF repository, if there is one. @returns a function that ends it */
export function keepTrust(parts: TrustKeeperParts, signal: AbortSignal): () => void {
  const { trust, follower, clock, log, onChange } = parts;
  let timer: TimerHandle | undefined;
  let known: string | undefined;
  let told: string | undefined;
  let followAt = clock.now();

  const tell = (type: NewEvent["type"], reason: string, message: string): void =>
    parts.event({ object: `Node/${parts.node}`, podUid: undefined, type, reason, message, at: clock.now() });

  /** Each trouble is told once, until it is over or another one. */
  const trouble = (reason: string, error: unknown): void => {
    const message = messageOf(error);
    if (message === told) return;
    told = message;
    const hint = isGantryError(error) && error.hint !== undefined ? ` ${error.hint}` : "";
    tell("Warning", reason, `${message}.${hint}`);
  };

  const follow = async (): Promise<void> => {
    if (follower === undefined || clock.now() < followAt) return;
    try {
      const wasStale = (await follower.current()).stale !== undefined;
      const { changed, version, validUntil } = await follower.follow(signal);
      followAt = clock.now() + parts.followIntervalMs;
      told = undefined;
      if (wasStale) onChange();
      if (changed)
        tell(
          "Normal",
          "TrustFollowed",
          `The trust policy is at version ${version}, valid until ${new Date(validUntil).toISOString()}`,
        );
    } catch (error) {
      if (signal.aborted) return;
      followAt = clock.now() + Math.min(RETRY_MS, parts.followIntervalMs);
      trouble("TrustNotFollowed", error);
    }
  };

  const look = async (): Promise<void> => {
    await follow();
    try {
      const now = textOf(await trust.effective());
      if (known !== undefined && now !== known) {
        tell(
          "Normal",
          "TrustPolicyChanged",
          "The rules about trusted images have changed; they count at every next start",
        );
        onChange();
      }
      if (follower === undefined) told = undefined;
      known = now;
    } catch (error) {
      if (!signal.aborted) trouble("TrustPolicyInvalid", error);
    }
  };

  const round = (): void => {
    void look()
      .catch((error: unknown) => log.error({ err: error }, "looking after the trust policy failed"))
      .finally(() => {
        if (!signal.aborted) timer = clock.setTimeout(round, LOOK_MS);
      });
  };
  round();
  return () => clock.clearTimeout(timer);
}

function textOf({ rules }: Effective): string {
  return JSON.stringify(rules.map(({ scope, digest }) => [scope, digest]));
}
