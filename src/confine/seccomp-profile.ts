/**
 * Seccomp profiles as people write them: the form of Docker and containers-common, of which linux.seccomp of the OCI
 * runtime specification is a part. Pure.
 */
import { z } from "zod";
import { fieldName } from "../manifest/issue.ts";
import { issuesOf } from "../manifest/zod-issues.ts";
import { GantryError, messageOf } from "../system/errors.ts";

/** What becomes of a system call: seccomp(2). SCMP_ACT_NOTIFY is left out, as there is no agent here that would be asked. */
const ACTIONS = [
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_LOG",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_TRAP",
] as const;

const OPERATORS = [
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_LE",
  "SCMP_CMP_LT",
  "SCMP_CMP_MASKED_EQ",
  "SCMP_CMP_NE",
] as const;

const FLAGS = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"] as const;

const text = z.string();
const texts = z.array(text).optional();
const action = z.enum(ACTIONS);
const architecture = text.regex(/^SCMP_ARCH_\w+$/, "must be the name of an architecture, such as SCMP_ARCH_X86_64");
const errno = z.int().min(0).max(4095).optional();
/** 64 bits in the kernel; what JSON can't tell exactly is refused. */
const word = z.int().min(0);

const argument = z.strictObject({
  index: z.int().min(0).max(5),
  op: z.enum(OPERATORS),
  value: word,
  valueTwo: word.optional(),
});

/** When a rule counts: all that `includes` names must be so, and nothing of what `excludes` names. */
const condition = z.strictObject({
  arches: texts,
  caps: texts,
  minKernel: text.regex(/^\d+\.\d+/, "must be a version of Linux, such as 4.8").optional(),
});

const rule = z.strictObject({
  action,
  args: z.array(argument).optional(),
  comment: text.optional(),
  /** The name of errnoRet. */
  errno: text.optional(),
  errnoRet: errno,
  excludes: condition.optional(),
  includes: condition.optional(),
  name: text.optional(),
  names: texts,
});

const profile = z
  .strictObject({
    archMap: z.array(z.strictObject({ architecture, subArchitectures: z.array(architecture).optional() })).optional(),
    architectures: z.array(architecture).optional(),
    comment: text.optional(),
    defaultAction: action,
    /** The name of defaultErrnoRet. */
    defaultErrno: text.optional(),
    defaultErrnoRet: errno,
    flags: z.array(z.enum(FLAGS)).optional(),
    syscalls: z.array(rule).optional(),
  })
  .superRefine(({ archMap = [], architectures = [], syscalls = [] }, context) => {
    const refuse = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: "custom", path, message });
    if (archMap.length > 0 && architectures.length > 0) refuse(["archMap"], "can't be together with architectures");
    for (const [at, { name = "", names = [] }] of syscalls.entries()) {
      if (name !== "" && names.length > 0) refuse(["syscalls", at, "name"], "can't be together with names");
      if (name === "" && names.length === 0) refuse(["syscalls", at], "must name at least one system call");
    }
  });

export type SeccompProfile = z.output<typeof profile>;
export type SeccompCondition = z.output<typeof condition>;
export type SeccompAction = (typeof ACTIONS)[number];
export type SeccompFlag = (typeof FLAGS)[number];
export type SeccompOperator = (typeof OPERATORS)[number];

/** How many faults of a profile are told at once. */
const TOLD = 3;

/** @throws GantryError invalid-config that tells what is wrong, and where in it */
export function parseSeccompProfile(json: string): SeccompProfile {
  let value: unknown;
  try {
    value = withoutNulls(JSON.parse(json));
  } catch (cause) {
    throw new GantryError("invalid-config", `is no JSON: ${messageOf(cause)}`, { cause });
  }
  const parsed = profile.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = issuesOf(parsed.error, profile, value).map(({ path, message, hint }) => {
    const where = path.length === 0 ? "" : `${fieldName(path)}: `;
    return `${where}${message}${hint === undefined ? "" : ` (${hint})`}`;
  });
  const more = faults.length > TOLD ? ` (and ${faults.length - TOLD} more)` : "";
  throw new GantryError("invalid-config", `is no seccomp profile: ${faults.slice(0, TOLD).join("; ")}${more}`);
}

/** Whoever else reads these files takes null for nothing; lists that are null are common in them. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutNulls(inner)]));
}
