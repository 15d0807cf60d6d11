/** Secrets that are encrypted in manifest files: age and SOPS. In clear they are in memory only. */
export { encryptAge, newIdentity, recipientsOf } from "./age.ts";
export { type Encryption, encryptionOf } from "./detect.ts";
export { readKeys } from "./keys.ts";
export { closedProblem, parseOpened } from "./manifest.ts";
export { createOpener, decrypt, type Opener } from "./opener.ts";
export { Undecryptable } from "./problem.ts";
