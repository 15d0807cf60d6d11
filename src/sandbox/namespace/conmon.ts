import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig } from "../driver.ts";
import type { ContainerFiles, Dirs } from "./dirs.ts";
import { sendSignal } from "./proc.ts";
import type { Runtime } from "./runtime.ts";

export interface ConmonRequest {
  readonly id: string;
  readonly name: string;
  readonly files: ContainerFiles;
  readonly dirs: Dirs;
  readonly runtime: Runtime;
  readonly logPath: string;
  readonly stdin: ContainerConfig["stdin"];
  readonly tty: boolean;
  /** Options of the overlay mount for the rootfs; empty: it is mounted already. */
  readonly overlay: string;
  /** cgroup.procs files that conmon moves itself to, so that it outlives the daemon's own cgroup. */
  readonly cgroupProcs: readonly string[];
}

export type ConmonResult = { readonly pid: number } | { readonly failure: string };

/**
 * Mounts the rootfs and becomes conmon: one process from here where two or three would cost 3 ms each.
 * $1 overlay options, $2 mount point, $3 how many cgroup files follow; the rest is conmon's command line.
 */
const LAUNCH = `
set -e
[ -z "$1" ] || mount -i -t overlay -o "$1" overlay "$2"
n=$3; shift 3
while [ "$n" -gt 0 ]; do echo 0 2>/dev/null > "$1" || :; shift; n=$((n-1)); done
exec "$@"`;

const CREATE_TIMEOUT_MS = 60_000;
const SYNC_FD = 3;
const SIGKILL = 9;

/**
 * Mounts the container's root and starts its monitor, which has the OCI runtime create the container.
 * @returns the pid of the container, or what the runtime said when it refused
 * @throws GantryError cancelled, timeout, runtime-failed (the mount, or conmon itself). The caller cleans up then.
 */
export async function launchConmon(request: ConmonRequest, signal: AbortSignal): Promise<ConmonResult> {
  const child = spawn(
    "/bin/sh",
    [
      "-c",
      LAUNCH,
      "launch",
      request.overlay,
      request.files.rootfs,
      String(request.cgroupProcs.length),
      ...request.cgroupProcs,
      "conmon",
      ...conmonArguments(request),
    ],
    {
      cwd: request.files.root,
      detached: true,
      env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C", _OCI_SYNCPIPE: String(SYNC_FD) },
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    },
  );
  const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
  const onAbort = (): void =>
    stop(new GantryError("cancelled", "the creation of the container was cancelled", { kind: "system" }));
  const timer = setTimeout(
    () =>
      stop(
        new GantryError(
          "timeout",
          `${request.runtime.name} did not create the container in ${CREATE_TIMEOUT_MS / 1000} s`,
          { kind: "system" },
        ),
      ),
    CREATE_TIMEOUT_MS,
  );
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const failed = new Promise<never>((_, reject) => child.once("error", (error) => reject(spawnError(error))));
  failed.catch(() => {}); // may lose the race below
  const sync = child.stdio[SYNC_FD];
  try {
    if (!isReadable(sync) || child.stderr === null) throw new GantryError("internal", "no pipe to conmon");
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk;
    });
    const answer = await Promise.race([readLine(sync), stopped, failed]);
    if (answer === undefined) throw launchError(stderr.trim());
    return parseAnswer(answer);
  } catch (error) {
    // A conmon that has left this group by now is found by its arguments.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      sendSignal(-child.pid, SIGKILL);
      await gone;
    }
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    child.stderr?.destroy();
    if (isReadable(sync)) sync.destroy();
    child.unref();
  }
}

function conmonArguments({ id, name, files, dirs, runtime, logPath, stdin, tty }: ConmonRequest): string[] {
  return [
    ...["--cid", id, "--cuuid", id, "--name", name],
    ...["--runtime", runtime.path, "--runtime-arg", `--root=${runtime.root}`],
    ...["--bundle", files.root, "--container-pidfile", files.pid, "--conmon-pidfile", files.conmonPid],
    ...["--exit-dir", dirs.exits, "--persist-dir", files.root, "--full-attach", "--no-sync-log"],
    ...["--log-path", `k8s-file:${logPath}`, "--log-level", "error"],
    ...(tty ? ["--terminal"] : []),
    ...(stdin === "closed" ? [] : ["--stdin"]),
    ...(stdin === "kept" ? ["--leave-stdin-open"] : []),
  ];
}

const answerSchema = z.object({ pid: z.number(), message: z.string().optional() });

function parseAnswer(text: string): ConmonResult {
  const answer = answerSchema.safeParse(safeJson(text));
  if (!answer.success) return { failure: `conmon answered "${text}"` };
  const { pid, message } = answer.data;
  return pid > 0 ? { pid } : { failure: message ?? "" };
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first line of a stream; undefined when it ends without one. */
async function readLine(stream: Readable): Promise<string | undefined> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return text === "" ? undefined : text;
}

function isReadable(stream: unknown): stream is Readable {
  return typeof stream === "object" && stream !== null && "read" in stream && "destroy" in stream;
}

function spawnError(error: Error): GantryError {
  return new GantryError("command-failed", `cannot run /bin/sh: ${error.message}`, { kind: "system", cause: error });
}

function launchError(stderr: string): GantryError {
  if (/conmon: (not found|No such file)/i.test(stderr)) {
    return new GantryError("command-missing", "conmon is not installed", {
      hint: "Install it: apt-get install conmon",
    });
  }
  const full = /no space left/i.test(stderr);
  return new GantryError(
    full ? "disk-full" : "runtime-failed",
    `the container's root cannot be set up: ${stderr || "no reason given"}`,
    {
      kind: "system",
      hint: full ? "Free some disk space." : "See 'gantry doctor' for what the host lacks.",
      details: { reason: "CreateContainerError" },
    },
  );
}
