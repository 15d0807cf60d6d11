/** What can be said of a Git source, in config.yaml and in sources.d/. */
import { validRange } from "semver";
import { z } from "zod";
import { folderIn, parseRepositoryUrl, refProblem } from "./url.ts";

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export function isSourceName(text: string): boolean {
  return NAME.test(text);
}

/** ssh expands some of these in its options, and a shell reads the others. */
const file = z
  .string()
  .refine((path) => path.startsWith("/") && !path.endsWith("/"), "must be the absolute path of a file")
  .refine((path) => !/["'%$\\\p{Cc}]/u.test(path), "must have no quotes, '%', '$' or '\\'");

const url = z.string().superRefine((text, context) => {
  const parsed = parseRepositoryUrl(text);
  if (typeof parsed === "string") context.addIssue({ code: "custom", message: parsed });
});

const ref = z.string().superRefine((text, context) => {
  const problem = refProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const gitSourceFields = z.strictObject({
  name: z.string().regex(NAME, "must be a DNS label (lower-case letters, digits and '-')"),
  url,
  branch: ref.optional(),
  tag: ref.optional(),
  semver: z
    .string()
    .refine((range) => validRange(range) !== null, "must be a range such as ^1.2 or >=1.0 <2")
    .optional(),
  commit: z
    .string()
    .regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, "must be a whole commit id (40 hexadecimal digits)")
    .optional(),
  path: z
    .string()
    .refine((path) => folderIn(path) !== undefined, "must be a folder inside the repository")
    .default(""),
  intervalSeconds: z
    .int()
    .min(5)
    .max(7 * 86_400)
    .default(60),
  timeoutSeconds: z.int().min(1).max(3600).default(120),
  policy: z.enum(["all-or-nothing", "per-file"]).default("all-or-nothing"),
  submodules: z.boolean().default(false),
  prune: z.boolean().default(true),
  allowEmpty: z.boolean().default(false),
  deadlineSeconds: z.int().min(0).max(86_400).optional(),
  insecure: z.boolean().default(false),
  suspend: z.boolean().default(false),
  sshKey: file.optional(),
  knownHosts: file.optional(),
  username: z.string().min(1).optional(),
  passwordFile: file.optional(),
  caFile: file.optional(),
  verify: z
    .strictObject({ gpg: z.array(file).min(1).optional(), ssh: file.optional() })
    .refine(
      ({ gpg, ssh }) => gpg !== undefined || ssh !== undefined,
      "must name gpg keys or an ssh allowed-signers file",
    )
    .optional(),
  webhookSecretFile: file.optional(),
});

/** One Git source, every default filled in. */
export const gitSourceSchema = gitSourceFields.superRefine((spec, context) => {
  const refs = (["branch", "tag", "semver", "commit"] as const).filter((name) => spec[name] !== undefined);
  const [, second] = refs;
  if (second !== undefined)
    context.addIssue({ code: "custom", path: [second], message: `${refs.join(" and ")} exclude each other: name one` });
  const parsed = parseRepositoryUrl(spec.url);
  if (typeof parsed === "string") return;
  if ((parsed.transport === "http" || parsed.transport === "git") && !spec.insecure && spec.verify === undefined)
    context.addIssue({
      code: "custom",
      path: ["url"],
      message: `${parsed.transport}:// can be changed on its way: use https or ssh, ask for signatures (verify), or set insecure: true`,
    });
  if (spec.passwordFile !== undefined && parsed.transport !== "https" && parsed.transport !== "http")
    context.addIssue({ code: "custom", path: ["passwordFile"], message: "is for https URLs; ssh has sshKey" });
  if (spec.sshKey !== undefined && parsed.transport !== "ssh")
    context.addIssue({ code: "custom", path: ["sshKey"], message: "is for ssh URLs; https has passwordFile" });
});

export type GitSourceSpec = Readonly<z.output<typeof gitSourceSchema>>;
export type GitSourceInput = Readonly<z.input<typeof gitSourceSchema>>;

/** "branch main", for people. */
export function refText(spec: Pick<GitSourceSpec, "branch" | "tag" | "semver" | "commit">): string {
  if (spec.branch !== undefined) return `branch ${spec.branch}`;
  if (spec.tag !== undefined) return `tag ${spec.tag}`;
  if (spec.semver !== undefined) return `semver ${spec.semver}`;
  if (spec.commit !== undefined) return `commit ${spec.commit.slice(0, 12)}`;
  return "the default branch";
}
