import type { PodNetwork } from "../network/contract.ts";
import type { ServiceKeeper } from "../service/index.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface MendParts {
  readonly network: Pick<PodNetwork, "mend">;
  readonly services: Pick<ServiceKeeper, "mend">;
  /** ms between two looks. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Repairs the host's side of the pods' network now and then: others flush rules and delete bridges. @returns ends it */
export function keepNetwork({ network, services, intervalMs, clock, log }: MendParts, signal: AbortSignal): () => void {
  let timer: TimerHandle | undefined;
  const round = async (): Promise<void> => {
    try {
      const mended = [...(await network.mend(signal)), ...(await services.mend())];
      for (const what of mended) log.warn({ what }, "mended the pods' network");
    } catch (error) {
      if (!signal.aborted) log.warn({ reason: messageOf(error) }, "the pods' network could not be mended yet");
    }
    later();
  };
  const later = (): void => {
    if (!signal.aborted) timer = clock.setTimeout(() => void round(), intervalMs);
  };
  later();
  return () => clock.clearTimeout(timer);
}
