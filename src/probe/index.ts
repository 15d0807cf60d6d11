/** Probes and hooks as the kubelet runs them (kubernetes/pkg/kubelet/prober, pkg/probe, pkg/kubelet/lifecycle). */
import type { Clock } from "../system/clock.ts";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import { createLimiter } from "../system/limiter.ts";
import { KUBERNETES } from "../system/version.ts";
import type { ExecIn, HookAction, HttpGetAction, ProbeAction, ProbeOutcome, Prober } from "./contract.ts";
import { cancelled, LATE, seconds, within } from "./deadline.ts";
import { type CommandEnd, endOf } from "./exec.ts";
import { probeGrpc } from "./grpc.ts";
import { httpGet, probeHttp } from "./http.ts";
import { probeTcp } from "./tcp.ts";

export type * from "./contract.ts";

/** When the prober itself fails, it tries again at once (prober.go, maxProbeRetries). */
const TRIES = 3;

/**
 * @param commands how many commands are run at once: each costs a process or more, and a burst of them would keep
 *   them all from ending in time. What waits for its turn loses none of its own time
 */
export function createProber(clock: Clock, commands = 4): Prober {
  const limiter = createLimiter(commands);
  return {
    async probe(action, timeoutMs, exec, signal) {
      for (let tries = 1; ; tries++) {
        const once = () => probeOnce(clock, action, timeoutMs, exec, signal);
        const outcome = await (action.type === "exec" ? limiter.run(once, signal) : once());
        if (outcome.result !== "unknown" || tries === TRIES) return outcome;
      }
    },
    runHook: (action, exec, signal) => runHook(clock, action, exec, signal),
  };
}

async function probeOnce(
  clock: Clock,
  action: ProbeAction,
  timeoutMs: number,
  exec: ExecIn,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  try {
    const outcome = await within(clock, timeoutMs, signal, (own) => ask(action, exec, own));
    if (outcome !== LATE) return outcome;
    return { result: "failure", message: `${describe(action)}: no answer within ${seconds(timeoutMs)}` };
  } catch (error) {
    if (signal.aborted) throw cancelled();
    // A command that could not be begun says nothing about the app; a port that does not answer does.
    return { result: action.type === "exec" ? "unknown" : "failure", message: messageOf(error) };
  }
}

async function ask(action: ProbeAction, exec: ExecIn, signal: AbortSignal): Promise<ProbeOutcome> {
  switch (action.type) {
    case "exec": {
      const { exitCode, output } = await runCommand(action.command, exec, signal);
      return {
        result: exitCode === 0 ? "success" : "failure",
        message: output === "" ? `exit code ${exitCode}` : output,
      };
    }
    case "httpGet":
      return await probeHttp(action, `kube-probe/${KUBERNETES.major}.${KUBERNETES.minor}`, signal);
    case "tcpSocket":
      return await probeTcp(action, signal);
    case "grpc":
      return await probeGrpc(action, `kube-probe/${KUBERNETES.major}.${KUBERNETES.minor}`, signal);
  }
}

async function runCommand(command: readonly string[], exec: ExecIn, signal: AbortSignal): Promise<CommandEnd> {
  const session = await exec(command, signal);
  if (signal.aborted) session.kill();
  return await endOf(session);
}

function describe(action: ProbeAction): string {
  switch (action.type) {
    case "exec":
      return `command ${JSON.stringify(action.command.join(" "))} timed out`;
    case "httpGet":
      return `Get "${action.scheme.toLowerCase()}://${action.host}:${action.port}${action.path}"`;
    case "tcpSocket":
      return `connect ${action.host}:${action.port}`;
    case "grpc":
      return `grpc ${action.host}:${action.port}`;
  }
}

async function runHook(clock: Clock, action: HookAction, exec: ExecIn, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw cancelled();
  switch (action.type) {
    case "exec": {
      const { exitCode, output } = await runCommand(action.command, exec, signal);
      if (signal.aborted) throw cancelled();
      if (exitCode === 0) return;
      const said = output === "" ? "" : `: ${output}`;
      throw failed(`command ${JSON.stringify(action.command.join(" "))} ended with exit code ${exitCode}${said}`);
    }
    case "httpGet":
      return await runHttpHook(action, signal);
    case "sleep":
      // There is no deadline of its own: it ends by itself.
      await within(clock, action.ms, signal, () => new Promise<never>(() => {}));
      return;
  }
}

/**
 * Any answer will do, whatever its status. A server that speaks no TLS is asked once more without
 * (handlers.go, runHTTPHandler).
 */
async function runHttpHook(action: HttpGetAction, signal: AbortSignal): Promise<void> {
  const userAgent = `kube-lifecycle/${KUBERNETES.major}.${KUBERNETES.minor}` as const;
  try {
    await httpGet(action, userAgent, signal);
  } catch (error) {
    if (signal.aborted) throw cancelled();
    if (action.scheme === "HTTPS" && speaksNoTls(error)) {
      const headers = action.headers.filter(({ name }) => name.toLowerCase() !== "authorization");
      return await runHttpHook({ ...action, scheme: "HTTP", headers }, signal);
    }
    if (isGantryError(error)) throw error;
    throw failed(messageOf(error), error);
  }
}

/** OpenSSL's words for an answer that is no TLS record. */
function speaksNoTls(error: unknown): boolean {
  return /wrong version number|packet length too long|http request/i.test(messageOf(error));
}

function failed(message: string, cause?: unknown): GantryError {
  return new GantryError("runtime-failed", message, { cause, hint: "Mend the hook, or what it calls." });
}
