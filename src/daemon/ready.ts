import type { PodObject } from "../api/contract.ts";
import type { PodObjects } from "./pod-objects.ts";

/** Calls back once, when every pod that is wanted is Ready or has ended. */
export function whenAllReady(
  objects: PodObjects,
  wanted: () => number,
  then: (pods: readonly PodObject[]) => void,
): void {
  let unsubscribe: () => void = () => undefined;
  const look = (): void => {
    const pods = objects.list();
    if (pods.length === 0 || pods.length < wanted() || !pods.every(isSettled)) return;
    unsubscribe();
    then(pods);
  };
  // After the line about the change itself.
  unsubscribe = objects.watch(() => queueMicrotask(look));
  look();
}

function isSettled({ status }: PodObject): boolean {
  if (status.phase === "Succeeded" || status.phase === "Failed") return true;
  return status.conditions.some((condition) => condition.type === "Ready" && condition.status === "True");
}
