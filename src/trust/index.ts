/** Which images are trusted: policy.json, its keys, and TUF repositories that they are followed from. */
export { type Effective, type EffectiveRule, policyFiles, type TrustDefault } from "./effective.ts";
export { type Followed, type FollowOptions, followDir, TufFollower } from "./follow.ts";
export { type Policy, parsePolicy } from "./policy.ts";
export { createTrust, type FollowedPolicy, type Trust, type TrustOptions, wantedSigners } from "./trust.ts";
