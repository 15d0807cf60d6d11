import type { Lifecycle, Probe } from "../../manifest/index.ts";

/** In kubectl's form: "http-get http://:8080/healthz delay=0s timeout=1s period=10s #success=1 #failure=3". */
export function describeProbe(probe: Probe | undefined): string | undefined {
  if (probe === undefined) return undefined;
  const { initialDelaySeconds = 0, timeoutSeconds, periodSeconds, successThreshold, failureThreshold } = probe;
  const times = `delay=${initialDelaySeconds}s timeout=${timeoutSeconds}s period=${periodSeconds}s`;
  return `${action(probe)} ${times} #success=${successThreshold} #failure=${failureThreshold}`;
}

export function describeHook(hook: Lifecycle["postStart"]): string | undefined {
  if (hook === undefined) return undefined;
  return hook.sleep === undefined ? action(hook) : `sleep ${hook.sleep.seconds}s`;
}

type Action = Pick<Probe, "exec" | "httpGet" | "tcpSocket"> & { readonly grpc?: Probe["grpc"] };

function action({ exec, httpGet, tcpSocket, grpc }: Action): string {
  if (exec !== undefined) return `exec [${(exec.command ?? []).join(" ")}]`;
  if (httpGet !== undefined) {
    const { scheme, host = "", port, path } = httpGet;
    return `http-get ${scheme.toLowerCase()}://${host}:${port}${path.startsWith("/") ? path : `/${path}`}`;
  }
  if (tcpSocket !== undefined) return `tcp-socket ${tcpSocket.host ?? ""}:${tcpSocket.port}`;
  if (grpc !== undefined) return `grpc :${grpc.port}${grpc.service === "" ? "" : ` ${grpc.service}`}`;
  return "unknown";
}
