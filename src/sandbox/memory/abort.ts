import { GantryError } from "../../system/errors.ts";

export function cancelled(): GantryError {
  return new GantryError("cancelled", "the call was cancelled", { kind: "system" });
}

/** Waits for `work`, but no longer than until the signal is aborted. @throws GantryError cancelled */
export async function abortable(work: Promise<void>, signal?: AbortSignal): Promise<void> {
  if (!signal) return await work;
  if (signal.aborted) throw cancelled();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(cancelled());
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
