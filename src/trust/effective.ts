/** The rules in force: the host's own policy, what a TUF repository adds, and the settings. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ACCEPT, type Policy, REJECT } from "./policy.ts";
import type { Rule } from "./scopes.ts";
import { ruleFor } from "./scopes.ts";
import { isCurrent, type LoadedPolicy, type LoadedRequirement, loadPolicy, stampOf } from "./sources.ts";

export type TrustDefault = "accept" | "reject";

/** Where a rule is written: a file, or the setting. */
export interface EffectiveRule {
  readonly scope: string | undefined;
  readonly requirements: readonly LoadedRequirement[];
  readonly from: string;
  /** It is followed from a TUF repository. */
  readonly followed: boolean;
  /** Changes with the rule and with the content of its keys; not with where it is written. */
  readonly digest: string;
}

export interface Effective {
  ruleFor(name: string): EffectiveRule;
  /** All of them, the default last. */
  readonly rules: readonly EffectiveRule[];
}

export interface PolicyInput {
  /** The host's own: undefined when it has none. */
  readonly own: LoadedPolicy | undefined;
  readonly followed: LoadedPolicy | undefined;
  /** The setting trust.default. */
  readonly default: TrustDefault | undefined;
}

/**
 * A rule of the host's own wins over one of the repository for the same scope. What no scope covers is for the setting
 * to decide, else for the repository, else for the host's own policy; without any of them it is let in. Pure.
 */
export function combine(input: PolicyInput): Effective {
  const byScope = new Map<string, EffectiveRule>();
  for (const [policy, followed] of [
    [input.followed, true],
    [input.own, false],
  ] as const) {
    for (const [scope, requirements] of policy?.scopes ?? [])
      byScope.set(scope, rule(scope, requirements, policy?.file ?? "", followed));
  }
  const fallback = defaultRule(input);
  const lookup: Policy = {
    default: [ACCEPT],
    transports: { docker: Object.fromEntries([...byScope.keys()].map((scope) => [scope, [ACCEPT]])) },
  };
  return {
    rules: [...[...byScope.values()].sort((a, b) => compare(a.scope ?? "", b.scope ?? "")), fallback],
    ruleFor(name) {
      const { scope }: Rule = ruleFor(lookup, name);
      return (scope === undefined ? undefined : byScope.get(scope)) ?? fallback;
    },
  };
}

function defaultRule(input: PolicyInput): EffectiveRule {
  const plain = (requirement: typeof ACCEPT): LoadedRequirement[] => [{ requirement, keyNames: [] }];
  if (input.default !== undefined)
    return rule(undefined, plain(input.default === "reject" ? REJECT : ACCEPT), "the setting trust.default", false);
  if (input.followed !== undefined) return rule(undefined, input.followed.default, input.followed.file, true);
  if (input.own !== undefined) return rule(undefined, input.own.default, input.own.file, false);
  return rule(undefined, plain(ACCEPT), "no policy.json", false);
}

function rule(
  scope: string | undefined,
  requirements: readonly LoadedRequirement[],
  from: string,
  followed: boolean,
): EffectiveRule {
  const text = JSON.stringify(requirements.map(({ requirement }) => requirement));
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  return { scope, requirements, from, followed, digest };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What a policy is looked for in: Gantry's own directory, then the host's, as Podman has it. */
export function policyFiles(etc: string): readonly string[] {
  return [join(etc, "policy.json"), "/etc/containers/policy.json"];
}

/** The host's own policy, and what it depends on. @throws GantryError invalid-config */
export async function loadOwnPolicy(
  etc: string,
): Promise<{ readonly policy: LoadedPolicy | undefined; readonly stamps: ReadonlyMap<string, string> }> {
  const stamps = new Map<string, string>();
  for (const file of policyFiles(etc)) {
    stamps.set(file, await stampOf(file));
    const policy = await loadPolicy(file);
    if (policy !== undefined) return { policy, stamps: new Map([...stamps, ...policy.stamps]) };
  }
  return { policy: undefined, stamps };
}

export { isCurrent };
