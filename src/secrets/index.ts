/** Secrets that are encrypted in manifest files: age and SOPS. In clear they are in memory only. */
export { encryptAge, newIdentity, recipientsOf } from "./age.ts";
export { decrypt } from "./decrypt.ts";
export { type Encryption, encryptionOf } from "./detect.ts";
export { readKeys } from "./keys.ts";
export { assertNamedRight, closedProblem, type ParsedBytes, parseBytes, parseOpened, reasonOf } from "./manifest.ts";
export { createOpener, type Opener } from "./opener.ts";
export { Undecryptable } from "./problem.ts";
