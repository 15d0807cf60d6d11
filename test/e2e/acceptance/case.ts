import { z } from "zod";

/**
 * What an acceptance case is: files that are put into the manifest folder, and steps that act as a user or look as one.
 * Files are written in the short form of shorthand.ts. What is looked at is compared as match.ts says.
 */
const Words = z.string().transform((text) => text.split(" "));
const Expected = z.unknown();
const Print = Expected.optional();
const File = z.union([z.string(), z.looseObject({}), z.array(z.looseObject({}))]);
export type File = z.infer<typeof File>;
const Files = z.record(z.string(), File);

/** One `gantry` command; what it prints is looked at until it is as expected, unless `once`. */
const Run = z.strictObject({
  args: z.union([Words, z.array(z.string())]),
  stdin: z.string().optional(),
  code: z.number().default(0),
  stdout: Print,
  stderr: Print,
  json: Print,
  once: z.boolean().default(false),
});
export type Run = z.infer<typeof Run>;

const Fetch = z.strictObject({ pod: z.string(), port: z.number(), path: z.string().default("/"), body: Print });

/** Each step is one key: what is done, or what must come about before the next. */
const Step = z.union([
  z.strictObject({ write: Files }).describe("files written anew, as editors do it"),
  z
    .strictObject({ set: z.strictObject({ file: z.string(), path: z.string(), to: z.unknown() }) })
    .describe("one field of a file changed: spec.containers.0.image"),
  z.strictObject({ delete: z.string() }).describe("a file removed"),
  z.strictObject({ pod: z.record(z.string(), Expected) }).describe("waits until pods look like this (view.ts)"),
  z
    .strictObject({ never: z.record(z.string(), Expected) })
    .describe("whether pods have never looked like this since the case began"),
  z.strictObject({ pods: z.array(Expected) }).describe("waits until there are exactly these pods, by name"),
  z.strictObject({ gone: z.string() }).describe("waits until there is no such pod"),
  z.strictObject({ log: z.record(z.string(), Expected) }).describe("what a pod has printed: POD or POD/CONTAINER"),
  z.strictObject({ events: z.record(z.string(), Expected) }).describe("what `gantry events POD` prints"),
  z.strictObject({ run: Run }),
  z.strictObject({ fetch: Fetch }).describe("an HTTP request from the host to a pod"),
  z
    .strictObject({ host: z.record(z.string(), Expected) })
    .describe("what a file says that an app has written into the directory HOSTDIR of the host, its case's own"),
  z.strictObject({ touch: z.array(z.string()) }).describe("files made in that directory"),
  z.strictObject({ remember: z.string() }).describe("which containers a pod has now, for `same` and `other`"),
  z.strictObject({ same: z.string() }).describe("POD or POD/CONTAINER: still the remembered ones, never restarted"),
  z.strictObject({ other: z.string() }).describe("waits until a pod has another uid than the remembered one"),
  z.strictObject({ crash: z.string() }).describe("POD/CONTAINER: killed from outside, in a micro-VM with its VM"),
  z.strictObject({ daemon: z.enum(["stop", "start", "kill", "restart"]) }),
  z.strictObject({ clock: z.string() }).describe("the daemon's clock is put on by this: 10s, 5m, 2h"),
]);
export type Step = z.infer<typeof Step>;

const Case = z.strictObject({
  name: z.string(),
  /** Where a class differs on purpose, there is a case for each; `why` says it. */
  only: z.enum(["namespace", "microvm"]).optional(),
  why: z.string().optional(),
  files: Files.default({}),
  steps: z.array(Step).min(1),
});
export type Case = z.infer<typeof Case>;

export const Cases = z.array(Case);

/** Whether a case needs a daemon of its own: it stops it, or changes its time. */
export function isAlone({ steps }: Case): boolean {
  return steps.some((step) => "daemon" in step || "clock" in step);
}
