import { z } from "zod";

/**
 * The messages between Gantry and the agent in a micro-VM. guest/protocol.h describes each one; this file is its
 * mirror. What comes from the agent is hostile until these schemas have seen it.
 */

export const PROTOCOL_VERSION = 1;

/** "GNTY", little endian. */
export const FRAME_MAGIC = 0x59544e47;
export const HEADER_BYTES = 16;
export const TRAILER_BYTES = 4;
export const MAX_PAYLOAD = 65_536;
/** Of all frames of one message together. */
export const MAX_MESSAGE = 1 << 20;
/** Bytes of stdin that may be sent before the agent grants more. */
export const EXEC_STDIN_WINDOW = 65_536;

export const FLAG_MORE = 1;
export const FLAG_EOF = 2;
export const FLAG_STDERR = 4;

/** host → agent */
export const REQUEST = {
  hello: 1,
  ping: 2,
  configure: 3,
  volume: 4,
  pushBegin: 5,
  pushFile: 6,
  pushData: 7,
  pushCommit: 8,
  create: 9,
  start: 10,
  signal: 11,
  kill: 12,
  remove: 13,
  list: 14,
  stats: 15,
  log: 16,
  exec: 17,
  execStdin: 18,
  execResize: 19,
  execSignal: 20,
  execCredit: 21,
  shutdown: 22,
  attach: 23,
  usage: 24,
  dial: 25,
} as const;
export type RequestName = keyof typeof REQUEST;

/** agent → host */
export const RESPONSE = {
  ok: 64,
  error: 65,
  execOutput: 66,
  execStdinCredit: 67,
  execExit: 68,
  eventExit: 69,
  eventOom: 70,
  eventFatal: 71,
} as const;
export type ResponseName = keyof typeof RESPONSE;

/** One key and its value; order counts, keys repeat. */
export type Field = readonly [key: string, value: string];

/** A name that the agent accepts for a volume or a container. */
export const guestName = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/);

/** A decimal that fits a JS number exactly. */
const count = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform(Number)
  .pipe(z.int().nonnegative());
/** ns since the epoch (too big for a number) → ms. */
const timeMs = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform((text) => Number(BigInt(text) / 1_000_000n));
const flag = z.enum(["0", "1"]).transform((text) => text === "1");

export const helloReply = z.object({
  nonce: z.string().max(64),
  version: count,
  /** `uname -r` in the guest. */
  kernel: z
    .string()
    .max(65)
    .regex(/^[!-~]*$/),
  configured: flag,
});
export type HelloReply = z.infer<typeof helloReply>;

export const errorReply = z.object({
  /** Linux errno, 0 where none applies. */
  errno: count,
  code: z.enum(["invalid", "unknown", "exists", "not-configured", "failed", "limit", "state"]),
  message: z.string().max(1024),
});
export type ErrorReply = z.infer<typeof errorReply>;

export const createReply = z.object({ pid: count });

export const guestContainer = z.object({
  container: guestName,
  state: z.enum(["creating", "created", "running", "exited"]),
  pid: count.optional(),
  "created-ns": timeMs,
  "started-ns": timeMs.optional(),
  "finished-ns": timeMs.optional(),
  /** 128+n for signal n. */
  "exit-code": count.pipe(z.number().max(255)).optional(),
  oom: flag,
  "log-port": count.pipe(z.number().max(63)),
  message: z.string().max(8192).optional(),
});
/** A container as the agent reports it; times are ms since the epoch. */
export type GuestContainer = z.infer<typeof guestContainer>;

export const guestStats = z.object({
  container: guestName,
  "cpu-ns": count,
  "memory-bytes": count,
  processes: count,
  // An agent of an earlier version tells no more than that.
  "usage-bytes": count.optional(),
  "rss-bytes": count.optional(),
  "cache-bytes": count.optional(),
  periods: count.default(0),
  "throttled-periods": count.default(0),
  "throttled-ns": count.default(0),
});
export type GuestStats = z.infer<typeof guestStats>;

/** A volume on the scratch disk or a writable layer, and what is in it. An agent of an earlier version counts no inodes. */
export const guestUsage = z.object({
  volume: guestName.optional(),
  container: guestName.optional(),
  bytes: count,
  inodes: count.default(0),
});

export const creditFields = z.object({ bytes: count.pipe(z.number().max(MAX_MESSAGE)) });
export const execExitFields = z.object({ "exit-code": count.pipe(z.number().max(255)) });
export const oomFields = z.object({ container: guestName });
export const fatalFields = z.object({ message: z.string().max(1024) });

/** What the agent sends, decoded. */
export type AgentMessage =
  | { readonly type: "ok"; readonly id: number; readonly fields: readonly Field[] }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorReply }
  | { readonly type: "execOutput"; readonly id: number; readonly stderr: boolean; readonly data: Buffer }
  | { readonly type: "execStdinCredit"; readonly id: number; readonly bytes: number }
  | { readonly type: "execExit"; readonly id: number; readonly exitCode: number }
  | { readonly type: "eventExit"; readonly container: GuestContainer }
  | { readonly type: "eventOom"; readonly container: string }
  | { readonly type: "eventFatal"; readonly message: string };
