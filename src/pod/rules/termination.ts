/** How the end of a container is worded: reason, message, and what is to be recorded of it. */
import type { ObservedContainer } from "../../sandbox/driver.ts";
import type { ContainerExit } from "../../store/contract.ts";
import type { Termination } from "../contract.ts";

/** Of the termination message file. */
export const MESSAGE_LIMIT_BYTES = 4096;
/** Of all containers of a pod together. */
export const POD_MESSAGE_LIMIT_BYTES = 12 * 1024;
export const LOG_FALLBACK_BYTES = 2048;
export const LOG_FALLBACK_LINES = 80;

export function terminationReason(exitCode: number, oomKilled: boolean): string {
  if (oomKilled) return "OOMKilled";
  return exitCode === 0 ? "Completed" : "Error";
}

/** True when the end of the log is to be the message: asked for, failed, and nothing was written to the file. */
export function wantsLogTail(
  policy: "File" | "FallbackToLogsOnError",
  exitCode: number,
  message: string | undefined,
): boolean {
  return policy === "FallbackToLogsOnError" && exitCode !== 0 && (message === undefined || message === "");
}

/** The text of the last lines of a CRI log, within both limits. `log` may begin in the middle of a line. */
export function logTail(log: string): string {
  const lines = log.split("\n").slice(0, log.endsWith("\n") ? -1 : undefined);
  let text = "";
  for (const line of lines.slice(-LOG_FALLBACK_LINES)) {
    const found = /^\S+ (?:stdout|stderr) ([PF])(?: (.*))?$/s.exec(line);
    if (found === null) continue;
    text += `${found[2] ?? ""}${found[1] === "F" ? "\n" : ""}`;
  }
  return cutStart(text, LOG_FALLBACK_BYTES);
}

/** A message no longer than its share: 4096 bytes, and 12 KiB for all containers of the pod. */
export function cutMessage(message: string, containers: number): string {
  return cutEnd(message, Math.min(MESSAGE_LIMIT_BYTES, Math.floor(POD_MESSAGE_LIMIT_BYTES / Math.max(1, containers))));
}

/** What is recorded of a container that ended. `now` stands in where the driver does not know when. */
export function exitOf(container: ObservedContainer, containers: number, now: number): ContainerExit {
  const exitCode = container.exitCode ?? 137;
  const { terminationMessage: message } = container;
  return {
    containerId: container.id,
    attempt: container.attempt,
    exitCode,
    reason:
      container.exitCode === undefined
        ? "ContainerStatusUnknown"
        : terminationReason(exitCode, container.oomKilled === true),
    message: message === undefined || message === "" ? undefined : cutMessage(message, containers),
    startedAt: container.startedAt,
    finishedAt: container.finishedAt ?? now,
    logPath: container.logPath,
    imageDigest: container.imageDigest,
  };
}

/** What is recorded of a container that was lost together with its exit code. 137, as the kubelet does. */
export function lostExit(
  lost: Pick<ContainerExit, "containerId" | "attempt" | "startedAt" | "logPath" | "imageDigest">,
  now: number,
): ContainerExit {
  return {
    ...lost,
    exitCode: 137,
    reason: "ContainerStatusUnknown",
    message:
      "The container is gone and its exit code with it; it was removed by someone else or the machine was restarted.",
    finishedAt: now,
  };
}

export function terminationOf(exit: ContainerExit): Termination {
  return {
    containerId: exit.containerId,
    exitCode: exit.exitCode,
    reason: exit.reason,
    ...(exit.message === undefined ? {} : { message: exit.message }),
    ...(exit.startedAt === undefined ? {} : { startedAt: exit.startedAt }),
    finishedAt: exit.finishedAt,
    ...endedByOthers(exit),
  };
}

/** Signals that nobody but a person or another program sends to an app, by the exit code that they leave (128 + n). */
const SENT: Readonly<Record<number, string>> = {
  129: "SIGHUP",
  130: "SIGINT",
  131: "SIGQUIT",
  137: "SIGKILL",
  143: "SIGTERM",
};

/** An app that ends itself so is not told apart; nor is one that takes the signal and exits with another code. */
function endedByOthers({ exitCode, reason, unasked, killedFor }: ContainerExit): Pick<Termination, "endedByOthers"> {
  if (unasked !== true || killedFor !== undefined) return {};
  if (reason === "ContainerStatusUnknown") return { endedByOthers: "was removed by hand" };
  const signal = SENT[exitCode];
  return signal !== undefined && reason === "Error" ? { endedByOthers: `was killed by hand (${signal})` } : {};
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function cutEnd(text: string, bytes: number): string {
  const encoded = encoder.encode(text);
  if (encoded.length <= bytes) return text;
  // A character cut in two decodes to U+FFFD: it is left out.
  return decoder.decode(encoded.subarray(0, bytes)).replace(/\uFFFD+$/, "");
}

function cutStart(text: string, bytes: number): string {
  const encoded = encoder.encode(text);
  if (encoded.length <= bytes) return text;
  return decoder.decode(encoded.subarray(encoded.length - bytes)).replace(/^\uFFFD+/, "");
}
