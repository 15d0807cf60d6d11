/** Images: from the store, or by pulling them, as the container's policy says. */
import type { Image, Origin, PullProgress } from "../../image/contract.ts";
import { registryOf } from "../../image/name.ts";
import type { Container, Pod } from "../../manifest/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { DesiredPod, PodPorts } from "../contract.ts";
import { presentMessage, progressText, pullDecision, pulledMessage, quarterOf } from "../rules/pull.ts";
import { pullSecretsFor } from "../rules/pull-secrets.ts";
import { type PodScope, tell } from "./scope.ts";
import { explain, StepError } from "./step-error.ts";

/** Between two events about how far a pull has come, ms. */
const EVENT_PACE_MS = 1000;
/** Between two looks of `status`, ms. */
const STATUS_PACE_MS = 500;

/** What wants an image: a container, or a volume that is one. */
export type ImageUser = Pick<Container, "name" | "image" | "imagePullPolicy">;

/** Who is told of a pull. */
export interface PullListener {
  event(type: "Normal" | "Warning", reason: string, message: string): void;
  /** What `status` says meanwhile; undefined when it is over. */
  progress(text: string | undefined): void;
}

/**
 * The image that a container is to run now, pulled where its policy wants that. Says in events what is done.
 * @throws StepError InvalidImageName, ErrImageNeverPull, ErrImagePull, SignatureValidationFailed
 */
export async function ensureImage(
  ports: ImagePorts,
  pod: Pod,
  container: ImageUser,
  listener: PullListener,
  signal: AbortSignal,
): Promise<Image> {
  const { image: name, imagePullPolicy: policy } = container;
  const pinned = await pinnedImage(ports, pod, container);
  if (pinned !== undefined) return await trusted(ports, pod, name, pinned, listener, signal);
  const held = await resolve(ports, name);
  switch (pullDecision(policy, held !== undefined)) {
    case "refuse": {
      const message = `Container image "${name}" is not present with pull policy of Never`;
      listener.event("Warning", "ErrImageNeverPull", message);
      const hint = `import it with 'gantry image import FILE ${name}', or let it be pulled: with the policy IfNotPresent`;
      throw new StepError("ErrImageNeverPull", new GantryError("image-missing", message, { hint }));
    }
    case "use":
      if (held !== undefined) {
        const image = await trusted(ports, pod, name, held, listener, signal);
        listener.event("Normal", "Pulled", presentMessage(name));
        return image;
      }
      break;
    case "pull":
      break;
  }
  return await pull(ports, pod, { name }, held !== undefined, listener, signal);
}

type ImagePorts = Pick<PodPorts, "images" | "secret" | "clock" | "pinnedImage">;

/** What the container is held to after a roll-back, if the store still has it. */
async function pinnedImage(
  ports: ImagePorts,
  { metadata }: Pod,
  { name, image }: ImageUser,
): Promise<Image | undefined> {
  const digest = ports.pinnedImage?.(`${metadata.namespace}/${metadata.name}`, name, image);
  return digest === undefined ? undefined : await ports.images.resolve(digest);
}

/** A held image, if the policy still lets it run; one that came in by another rule has its signatures checked again. */
async function trusted(
  ports: ImagePorts,
  pod: Pod,
  name: string,
  held: Image,
  listener: PullListener,
  signal: AbortSignal,
): Promise<Image> {
  let origin: Origin | undefined;
  try {
    origin = await ports.images.trusted(name, held);
  } catch (error) {
    throw new StepError(UNTRUSTED, error);
  }
  if (origin === undefined) return held;
  const message = `The trust policy for image "${name}" has changed: checking its signatures again`;
  listener.event("Normal", "CheckingSignature", message);
  return await pull(ports, pod, origin, false, listener, signal);
}

/** As the kubelet names it. */
const UNTRUSTED = "SignatureValidationFailed";

async function resolve({ images }: Pick<PodPorts, "images">, name: string): Promise<Image | undefined> {
  try {
    return await images.resolve(name);
  } catch (error) {
    throw new StepError(isGantryError(error, "name-invalid") ? "InvalidImageName" : "ErrImagePull", error);
  }
}

/** @param what an image by its name; with a digest, the one that is held already */
async function pull(
  { images, secret, clock }: Pick<PodPorts, "images" | "secret" | "clock">,
  pod: Pod,
  { name, digest }: { readonly name: string; readonly digest?: string },
  held: boolean,
  listener: PullListener,
  signal: AbortSignal,
): Promise<Image> {
  const { credentials, problems } = pullSecretsFor(pod, name, (one) => secret(pod.metadata.namespace, one));
  for (const problem of problems) {
    const message = `Unable to retrieve some image pull secrets (${problem}); attempting to pull the image may not succeed.`;
    listener.event("Warning", "FailedToRetrieveImagePullSecret", message);
  }
  if (digest === undefined) listener.event("Normal", "Pulling", `Pulling image "${name}"`);
  const begun = clock.now();
  const onProgress = progressTeller(name, listener, clock.now);
  try {
    const image = await images.pull(name, { credentials, onProgress, signal, ...(digest && { digest }) });
    if (digest === undefined) listener.event("Normal", "Pulled", pulledMessage(name, image, clock.now() - begun));
    return image;
  } catch (error) {
    if (isGantryError(error, "cancelled")) throw error;
    const told = withWayOut(error, name, held);
    listener.event("Warning", "Failed", `Failed to pull image "${name}": ${explain(told)}`);
    throw new StepError(isGantryError(error, "image-untrusted", "invalid-config") ? UNTRUSTED : "ErrImagePull", told);
  } finally {
    listener.progress(undefined);
  }
}

/** Not more often than people can read. */
function progressTeller(name: string, listener: PullListener, now: () => number): (progress: PullProgress) => void {
  let [quarter, eventAt, statusAt, stage] = [0, now(), Number.NEGATIVE_INFINITY, ""];
  return (progress) => {
    const at = now();
    const text = progressText(progress);
    if (progress.stage !== stage || at - statusAt >= STATUS_PACE_MS) {
      listener.progress(`pulling image "${name}": ${text}`);
      [statusAt, stage] = [at, progress.stage];
    }
    const reached = quarterOf(progress) ?? quarter;
    if (reached <= quarter || at - eventAt < EVENT_PACE_MS) return;
    listener.event("Normal", "Pulling", `Pulling image "${name}": ${text}`);
    [quarter, eventAt] = [reached, at];
  };
}

/** Names under "localhost" are for images that no registry has, and one that is held may do as it is. */
function withWayOut(error: unknown, name: string, held: boolean): unknown {
  if (!isGantryError(error)) return error;
  const { code, kind, details } = error;
  const again = (message: string, hint: string): GantryError =>
    new GantryError(code, message, { kind, details, hint, cause: error });
  if (held) {
    const hint =
      `${error.hint ?? ""} The image is in the store: 'imagePullPolicy: IfNotPresent' uses it as it is.`.trim();
    return again(error.message, hint);
  }
  if (registryOf(name) !== "localhost") return error;
  return again(`image ${name} is not in the store`, `import it with 'gantry image import FILE ${name}'`);
}

/** Pulls of one pod, and what they say of it. */
export async function requireImage(
  scope: PodScope,
  desired: DesiredPod,
  container: ImageUser,
  signal: AbortSignal,
): Promise<Image> {
  const { name } = container;
  const fresh = scope.images.get(name);
  if (fresh === keyOf(container)) {
    const pinned = await pinnedImage(scope.ports, desired.pod, container);
    const held = pinned ?? (await resolve(scope.ports, container.image));
    // The policy may have changed since it was made ready.
    if (held !== undefined && (await isTrusted(scope, container.image, held))) return held;
  }
  const listener = {
    event: (type: "Normal" | "Warning", reason: string, message: string) => tell(scope, desired, type, reason, message),
    progress: (text: string | undefined) => scope.pulling(name, text),
  };
  const ensure = (): Promise<Image> => ensureImage(scope.ports, desired.pod, container, listener, signal);
  const image = await scope.pulls.run(ensure, signal);
  scope.images.set(name, keyOf(container));
  return image;
}

async function isTrusted({ ports }: PodScope, name: string, held: Image): Promise<boolean> {
  try {
    return (await ports.images.trusted(name, held)) === undefined;
  } catch {
    return false; // the whole way says why
  }
}

/** The next run of the container looks at its policy anew. */
export function imageUsed(scope: PodScope, container: ImageUser): void {
  scope.images.delete(container.name);
}

function keyOf({ image, imagePullPolicy }: ImageUser): string {
  return `${imagePullPolicy} ${image}`;
}
