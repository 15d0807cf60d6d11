import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBounded } from "../../source/read-bounded.ts";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { attachmentTag, MAX_PAYLOAD_BYTES, signaturesIn } from "../../trust/sigstore.ts";
import type { RegistryAccess } from "../contract.ts";
import { ACCEPT_ANYTHING, hexOf } from "../disk.ts";
import { parseReference, registryOf } from "../name.ts";
import { explainFailure } from "./explain.ts";
import { type Asked, exactName } from "./pull.ts";
import { digestOf } from "./remote.ts";
import { copyImage, copyPlain, inspectRaw } from "./skopeo.ts";

/** What its registry knows about an image that was just copied with the same call. */
export function signaturesOf({ remote, call }: Asked, name: string, signal: AbortSignal): RegistryAccess {
  let count = 0;
  const withPolicy = async (text: string): Promise<typeof call> => {
    const policy = join(call.temp, `policy-${++count}.json`);
    await writeFile(policy, text);
    return { ...call, policy, signal };
  };
  return {
    async allows(policyText) {
      try {
        // All of its blobs are there: only the manifest and the signatures are read again.
        await copyImage(exactName(name, remote), await withPolicy(policyText), `oci-${count}`);
        return true;
      } catch (error) {
        const told = explainFailure(error, name, registryOf(name));
        if (isGantryError(told, "image-untrusted")) return false;
        throw told;
      }
    },
    async attachments(digest) {
      const { repository } = parseReference(name);
      const reference = `${repository}:${attachmentTag(digest)}`;
      const dir = `signatures-${hexOf(digest).slice(0, 16)}`;
      let listed: ReturnType<typeof signaturesIn>;
      try {
        const own = await withPolicy(ACCEPT_ANYTHING);
        const manifest = await inspectRaw(reference, own);
        listed = understood(reference, () => signaturesIn(manifest));
        await copyPlain(`${repository}@${digestOf(manifest)}`, dir, own);
      } catch (error) {
        const told = explainFailure(error, reference, registryOf(name));
        if (isGantryError(told, "image-missing")) return [];
        throw told;
      }
      return understood(reference, () =>
        listed.map(({ digest: blob, signature }) => ({
          payload: readBounded(join(call.temp, dir, hexOf(blob)), MAX_PAYLOAD_BYTES),
          signature,
        })),
      );
    },
  };
}

function understood<T>(reference: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new GantryError("image-untrusted", `the signatures ${reference} can't be read: ${messageOf(error)}`, {
      cause: error,
      hint: "Sign the image again.",
    });
  }
}
