import { buildSampleImage, createImageStore, SAMPLE_IMAGE } from "../image/index.ts";
import { systemClock } from "../system/clock.ts";
import { silentLogger } from "../system/log.ts";
import { layout } from "../system/paths.ts";

/** Builds the sample image into the store under `root` unless it is there. */
export async function readySampleImage(root: string, say: (line: string) => void): Promise<void> {
  const store = createImageStore({ paths: layout(root), log: silentLogger(), clock: systemClock });
  if ((await store.resolve(SAMPLE_IMAGE)) !== undefined) return;
  say(`building the sample image ${SAMPLE_IMAGE} from busybox.`);
  await buildSampleImage(store, new AbortController().signal);
}
