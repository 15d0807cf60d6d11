import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../system/clock.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { Credential, PullProgress } from "../contract.ts";
import { hexOf } from "../disk.ts";
import { readStaged, type Staged } from "../layout.ts";
import type { Limits } from "../limits.ts";
import { parseReference, registryOf } from "../name.ts";
import { authFileText } from "./credentials.ts";
import { type Downloads, linkIfAbsent, PULL_MARK } from "./downloads.ts";
import { explainFailure } from "./explain.ts";
import { hostAuth } from "./host-auth.ts";
import { type RemoteImage, readRemote } from "./remote.ts";
import { copyImage, inspectRaw, prepareHome, type SkopeoCall } from "./skopeo.ts";
import { watchCopy } from "./watch.ts";

export interface FetchOptions {
  /** Full name. */
  readonly name: string;
  readonly credentials: readonly Credential[];
  /** The manifest to ask for instead of what the name means now. */
  readonly digest: string | undefined;
  /** A directory of this pull, on the store's filesystem. */
  readonly temp: string;
  /** Gantry's configuration directory. */
  readonly etc: string;
  /** Path of the policy.json that decides. */
  readonly policy: string;
  readonly limits: Limits;
  readonly stallMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly report: (progress: PullProgress) => void;
}

export interface Asked {
  readonly remote: RemoteImage;
  /** With the credentials that were let in. */
  readonly call: SkopeoCall;
}

const NOTHING = { bytes: 0, totalBytes: 0, layers: 0, totalLayers: 0 };

/** Makes the temporary directory of a pull ready. */
export async function preparePull({ temp, name, etc }: Pick<FetchOptions, "temp" | "name" | "etc">): Promise<void> {
  await writeFile(join(temp, PULL_MARK), name);
  await prepareHome(temp, etc);
}

/**
 * Asks the registry what it has under the name, with each of the credentials in turn.
 * @throws GantryError as `ImageStore.pull` tells
 */
export async function ask(options: FetchOptions): Promise<Asked> {
  const { name, temp, etc, policy, signal, credentials, limits, report } = options;
  report({ stage: "resolving", ...NOTHING });
  const host = await hostAuth(etc, name);
  // Like the kubelet: with passwords for this registry, it is not tried without.
  const candidates: readonly (Credential | undefined)[] =
    credentials.length + host.credentials.length > 0 ? [...credentials, ...host.credentials] : [undefined];
  let denied: unknown;
  for (const [at, credential] of candidates.entries()) {
    const authFile = join(temp, `auth-${at}.json`);
    await writeFile(authFile, authFileText(name, credential, host.entries), { mode: 0o600 });
    const call = { temp, policy, authFile, signal };
    const inspect = (what: string): Promise<string> =>
      inspectRaw(what, call).catch((error: unknown) => Promise.reject(explainFailure(error, name, registryOf(name))));
    try {
      const { repository } = parseReference(name);
      const exact = options.digest === undefined ? name : `${repository}@${options.digest}`;
      const remote = await readRemote(exact, await inspect(exact), limits, (digest) =>
        inspect(`${repository}@${digest}`),
      );
      return { remote, call };
    } catch (error) {
      // Some registries answer "not found" to whoever may not know.
      if (!isGantryError(error, "registry-denied", "image-missing") || candidates.length === 1) throw error;
      denied ??= withSource(error, credential);
    }
  }
  throw denied;
}

function withSource(error: GantryError, credential: Credential | undefined): GantryError {
  if (credential === undefined) return error;
  const { code, message, kind, details, hint } = error;
  const said = `${message} (with the password from ${credential.from})`;
  return new GantryError(code, said, { kind, details, cause: error, ...(hint === undefined ? {} : { hint }) });
}

/**
 * Brings the image into <temp>/oci. It is asked for by its digest, so that what is copied is what was found, however
 * the tag moves meanwhile. Layers that the store has, or an interrupted pull had, are not fetched.
 * @param blobs where the store keeps its blobs. @throws GantryError as `ImageStore.pull` tells
 */
export async function fetchImage(
  { remote, call }: Asked,
  blobs: string,
  downloads: Downloads,
  options: FetchOptions,
): Promise<Staged> {
  const { name, temp, limits, stallMs, clock, signal, report } = options;
  const layout = join(temp, "oci");
  const target = join(layout, "blobs", "sha256");
  await mkdir(target, { recursive: true });
  const layers = remote.layers ?? [];
  for (const { digest } of layers) await linkIfAbsent(join(blobs, hexOf(digest)), join(target, hexOf(digest)));
  await downloads.use(layers, target, signal);
  const copy = (stop: AbortSignal): Promise<void> => copyImage(exactName(name, remote), { ...call, signal: stop });
  await watchCopy(copy, { layout, name, remote, report, stallMs, maxBytes: limits.inputBytes, clock }, signal).catch(
    (error: unknown) => Promise.reject(explainFailure(error, name, registryOf(name))),
  );
  const staged = await readStaged(layout);
  if (isSame(staged, remote)) return staged;
  throw new GantryError("image-invalid", `the registry sent other layers of ${name} than its manifest lists`, {
    kind: "system",
    hint: "The registry, or something between it and this host, is broken or hostile; nothing was kept.",
  });
}

/** The digest of the oldest format is not that of its bytes: such an image is asked for by its tag. */
export function exactName(name: string, { digest, layers }: RemoteImage): string {
  return layers === undefined ? name : `${parseReference(name).repository}@${digest}`;
}

/** skopeo may write the manifest in another format, but the layers stay what they are. */
function isSame({ manifest }: Staged, { layers }: RemoteImage): boolean {
  if (layers === undefined) return true;
  return layers.map(({ digest }) => digest).join() === manifest.layers.map(({ digest }) => digest).join();
}
