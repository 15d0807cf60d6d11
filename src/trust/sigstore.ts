/**
 * Sigstore signatures that lie beside an image in its registry, as cosign and skopeo write them: the tag
 * "sha256-<digest>.sig" names a manifest whose layers are signed payloads, with the signature in an annotation.
 * We check them ourselves: Debian's skopeo is built without (it refuses every image that must have one).
 * Formats: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md, containers-signature(5).
 */
import { verify as verifySignature } from "node:crypto";
import { z } from "zod";
import { identityMatches } from "./identity.ts";
import type { SigstoreKey } from "./keys.ts";
import type { SignedIdentity } from "./policy.ts";

export const SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
export const SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature";

/** Bytes. What claims to be a signature can't fill our disk. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;
const MAX_SIGNATURES = 200;

/** What somebody signed, not yet checked. */
export interface Attachment {
  readonly payload: Buffer;
  /** Base64. */
  readonly signature: string;
}

const payloadSchema = z.looseObject({
  critical: z.strictObject({
    type: z.string(),
    image: z.strictObject({ "docker-manifest-digest": z.string() }),
    identity: z.strictObject({ "docker-reference": z.string() }),
  }),
});

const manifestSchema = z.looseObject({
  layers: z
    .array(
      z.looseObject({
        mediaType: z.string(),
        digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
        size: z.int().nonnegative().max(MAX_PAYLOAD_BYTES, "a signature is not that large"),
        annotations: z.record(z.string(), z.string()).nullish(),
      }),
    )
    .max(MAX_SIGNATURES, "an image has not that many signatures"),
});

/** The tag under which the signatures of a manifest are kept. */
export function attachmentTag(digest: string): string {
  return `${digest.replace(":", "-")}.sig`;
}

/** The signatures that a manifest of attachments lists; what is none of ours is left out. @throws ZodError, SyntaxError */
export function signaturesIn(manifest: string): { readonly digest: string; readonly signature: string }[] {
  return manifestSchema.parse(JSON.parse(manifest)).layers.flatMap(({ mediaType, digest, annotations }) => {
    const signature = annotations?.[SIGNATURE_ANNOTATION];
    return mediaType === SIMPLE_SIGNING_TYPE && signature !== undefined ? [{ digest, signature }] : [];
  });
}

export type Judgement =
  | { readonly type: "good"; readonly key: SigstoreKey }
  | { readonly type: "bad"; readonly why: string };

export interface Claim {
  /** The image's name as it was asked for. */
  readonly name: string;
  /** A signature must be for one of these manifests. */
  readonly digests: readonly string[];
  readonly identity: SignedIdentity | undefined;
}

/** Whether a signature was made by one of `keys`, for this image. Nothing is believed before the key has said so. Pure. */
export function judge({ payload, signature }: Attachment, keys: readonly SigstoreKey[], claim: Claim): Judgement {
  const key = keys.find((one) => isSignedBy(one, payload, signature));
  if (key === undefined) return { type: "bad", why: "signed by another key" };
  let said: z.infer<typeof payloadSchema>["critical"];
  try {
    said = payloadSchema.parse(JSON.parse(payload.toString("utf8"))).critical;
  } catch {
    return { type: "bad", why: "what was signed is no claim about an image" };
  }
  const { "docker-manifest-digest": digest } = said.image;
  if (!claim.digests.includes(digest)) return { type: "bad", why: `signed is another image (${digest})` };
  const { "docker-reference": reference } = said.identity;
  if (!identityMatches(claim.identity, claim.name, reference))
    return { type: "bad", why: `signed for the identity ${JSON.stringify(reference)}` };
  return { type: "good", key };
}

function isSignedBy({ key }: SigstoreKey, payload: Buffer, signature: string): boolean {
  try {
    const algorithm = key.asymmetricKeyType === "ed25519" ? null : "sha256";
    return verifySignature(algorithm, payload, key, Buffer.from(signature, "base64"));
  } catch {
    return false; // not even the form of a signature by such a key
  }
}
