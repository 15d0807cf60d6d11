/**
 * Makes an async function safe to call at any time: calls while it runs share one further run, which begins after
 * the present one and so sees everything that happened before they were made.
 */
export function coalesce(run: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    current = run().finally(() => {
      current = undefined;
    });
    return current;
  };
  return () => {
    if (current === undefined) return start();
    next ??= current
      .catch(() => undefined) // its own callers are told
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
}
