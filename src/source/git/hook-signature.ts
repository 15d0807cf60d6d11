/** Whether a webhook comes from somebody who knows the secret. Pure, and takes as long whatever is wrong. */
import { createHmac, timingSafeEqual } from "node:crypto";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const SIGNATURES = ["x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-gitlab-token"] as const;

/** Whether it claims to be signed; what does not need not be read. */
export function claimsSignature(headers: Headers): boolean {
  return SIGNATURES.some((name) => headers[name] !== undefined);
}

/**
 * GitHub, Gitea and Forgejo sign the body with HMAC-SHA256 (X-Hub-Signature-256 with "sha256=" before it,
 * X-Gitea-Signature and X-Forgejo-Signature without); GitLab sends the secret itself (X-Gitlab-Token).
 */
export function isSigned(headers: Headers, body: Buffer, secret: string): boolean {
  if (secret === "") return false;
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  const expected: Readonly<Record<(typeof SIGNATURES)[number], string>> = {
    "x-hub-signature-256": `sha256=${signature}`,
    "x-gitea-signature": signature,
    "x-forgejo-signature": signature,
    "x-gitlab-token": secret,
  };
  const claims = SIGNATURES.filter((name) => headers[name] !== undefined);
  return claims.length > 0 && claims.every((name) => same(headers[name], expected[name]));
}

function same(value: string | readonly string[] | undefined, expected: string): boolean {
  if (typeof value !== "string") return false;
  const digest = (text: string): Buffer => createHmac("sha256", "length").update(text).digest();
  return timingSafeEqual(digest(value), digest(expected));
}
