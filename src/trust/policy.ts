/**
 * containers-policy.json(5): which images may come in, and by whose signature. The parts that images from registries
 * need, in the dialect of skopeo 1.9 (with `keyPaths`, which is newer). Pure.
 */
import { z } from "zod";
import { type ConfigProblem, configError, locate, parseYaml, schemaProblems } from "../config/problems.ts";
import { GantryError, messageOf } from "../system/errors.ts";

/** What the identity in a signature must be; see containers-policy.json(5), signedIdentity. */
export const identitySchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("matchExact") }),
  z.strictObject({ type: z.literal("matchRepoDigestOrExact") }),
  z.strictObject({ type: z.literal("matchRepository") }),
  z.strictObject({ type: z.literal("exactReference"), dockerReference: z.string().min(1) }),
  z.strictObject({ type: z.literal("exactRepository"), dockerRepository: z.string().min(1) }),
  z.strictObject({ type: z.literal("remapIdentity"), prefix: z.string().min(1), signedPrefix: z.string().min(1) }),
]);
export type SignedIdentity = z.infer<typeof identitySchema>;

const keyPath = z.string().startsWith("/", "must be an absolute path");
/** Base64 of the key's file. */
const keyData = z.base64().min(1);

const signedBy = z
  .strictObject({
    type: z.literal("signedBy"),
    keyType: z.literal("GPGKeys"),
    keyPath: keyPath.optional(),
    keyPaths: z.array(keyPath).min(1).optional(),
    keyData: keyData.optional(),
    signedIdentity: identitySchema.optional(),
  })
  .refine(hasOneKey, "needs exactly one of keyPath, keyPaths and keyData");

const sigstoreSigned = z
  .strictObject({
    type: z.literal("sigstoreSigned"),
    keyPath: keyPath.optional(),
    keyData: keyData.optional(),
    signedIdentity: identitySchema.optional(),
  })
  .refine(hasOneKey, "needs exactly one of keyPath and keyData");

function hasOneKey(rule: { keyPath?: unknown; keyPaths?: unknown; keyData?: unknown }): boolean {
  return [rule.keyPath, rule.keyPaths, rule.keyData].filter((key) => key !== undefined).length === 1;
}

export const requirementSchema = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("insecureAcceptAnything") }),
    z.strictObject({ type: z.literal("reject") }),
    signedBy,
    sigstoreSigned,
  ],
  { error: "must be insecureAcceptAnything, reject, signedBy or sigstoreSigned" },
);
export type Requirement = z.infer<typeof requirementSchema>;
export type SignatureRequirement = Extract<Requirement, { readonly type: "signedBy" | "sigstoreSigned" }>;

const requirements = z.array(requirementSchema).min(1, "must hold at least one requirement");

/** Scopes of transports other than "docker" are kept as they are: only registries concern us. */
const policySchema = z.strictObject({
  default: requirements,
  transports: z.looseObject({ docker: z.record(z.string(), requirements).optional() }).optional(),
});
export type Policy = z.infer<typeof policySchema>;

export const ACCEPT: Requirement = { type: "insecureAcceptAnything" };
export const REJECT: Requirement = { type: "reject" };

/**
 * Reads a policy.
 * @param file its name, for errors
 * @throws GantryError invalid-config that names every problem with its line and column
 */
export function parsePolicy(text: string, file: string): Policy {
  // YAML's parser knows the lines; JSON's own tells what YAML would let pass, such as comments.
  const { document, lines, problems } = parseYaml(text, file);
  if (problems.length > 0) throw policyError(problems);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const hint = "A policy is strict JSON: no comments, no trailing commas.";
    throw new GantryError("invalid-config", `${file}: ${messageOf(error)}`, { cause: error, hint });
  }
  const where = (path: readonly PropertyKey[]): string => locate(document, lines, file, path);
  const result = policySchema.safeParse(value);
  if (result.success) return result.data;
  throw policyError(schemaProblems(result.error, policySchema, value, where, ["default", "transports"]));
}

function policyError(problems: readonly ConfigProblem[]): GantryError {
  const { message, details } = configError(problems);
  const hint = "Correct it: containers-policy.json(5) tells the format; 'gantry trust add' and 'rm' write it for you.";
  return new GantryError("invalid-config", message, { details, hint });
}

/** One spelling for every policy: known order of keys, scopes sorted, two spaces, a newline at the end. */
export function formatPolicy(policy: Policy): string {
  const { docker = {}, ...others } = policy.transports ?? {};
  const scopes = Object.keys(docker).sort();
  const transports = {
    ...(scopes.length > 0 && { docker: Object.fromEntries(scopes.map((scope) => [scope, docker[scope]])) }),
    ...Object.fromEntries(
      Object.keys(others)
        .sort()
        .map((name) => [name, others[name]]),
    ),
  };
  const ordered = { default: policy.default, ...(Object.keys(transports).length > 0 && { transports }) };
  return `${JSON.stringify(ordered, undefined, 2)}\n`;
}
