import type { Credential, Image, ImageStore, PullProgress } from "../contract.ts";

/** A pull as it is told to someone who looks on. */
export type PullStep =
  | { readonly type: "progress"; readonly progress: PullProgress }
  | { readonly type: "image"; readonly image: Image };

/**
 * Pulls, and yields what is known meanwhile: the newest only, when the reader is slow. The image comes last.
 * @throws GantryError as `ImageStore.pull` does
 */
export async function* pullSteps(
  store: Pick<ImageStore, "pull">,
  name: string,
  credentials: readonly Credential[],
  signal: AbortSignal,
): AsyncGenerator<PullStep, void, undefined> {
  let newest: PullProgress | undefined;
  let wake = Promise.withResolvers<void>();
  const stop = new AbortController();
  const pull = store.pull(name, {
    credentials,
    signal: AbortSignal.any([signal, stop.signal]),
    onProgress: (progress) => {
      newest = progress;
      wake.resolve();
    },
  });
  const ended = pull.then(
    () => true,
    () => true,
  );
  try {
    for (;;) {
      const over = await Promise.race([ended, wake.promise.then(() => false)]);
      wake = Promise.withResolvers<void>();
      if (newest !== undefined) yield { type: "progress", progress: newest };
      newest = undefined;
      if (over) break;
    }
    yield { type: "image", image: await pull };
  } finally {
    stop.abort(); // the reader may have left
  }
}
