/** Labels that Gantry puts on sandboxes and containers, so that observation alone can tell what they are. */
export const SANDBOX_HASH_LABEL = "gantry.dev/sandbox-hash";
/** The signal that asks this container's app to end, when the image or the manifest names one. */
export const STOP_SIGNAL_LABEL = "gantry.dev/stop-signal";
/** What is done before this container's app is asked to end: its preStop hook, as JSON. */
export const PRE_STOP_LABEL = "gantry.dev/pre-stop";
/** Who signed a container's image, as it was checked when the container was made; one a line. */
export const SIGNED_BY_LABEL = "gantry.dev/signed-by";
/** Digests of the images that a sandbox has as volumes, with blanks between them: they are in use. */
export const VOLUME_IMAGES_LABEL = "gantry.dev/volume-images";
/** How many seconds the restart backoff may grow to (1–300); an annotation of the pod. */
export const MAX_BACKOFF_ANNOTATION = "gantry.dev/max-restart-backoff-seconds";

/** The digests of a sandbox's image volumes. */
export function volumeImagesOf(labels: Readonly<Record<string, string>>): string[] {
  return (labels[VOLUME_IMAGES_LABEL] ?? "").split(" ").filter(Boolean);
}
