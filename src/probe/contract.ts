import type { ExecSession } from "../sandbox/driver.ts";

/** What a probe or a hook does, with names of ports and hosts resolved. */
export type ProbeAction = ExecAction | HttpGetAction | TcpAction | GrpcAction;
export type HookAction = ExecAction | HttpGetAction | SleepAction;

export interface ExecAction {
  readonly type: "exec";
  readonly command: readonly string[];
}

export interface HttpGetAction {
  readonly type: "httpGet";
  readonly scheme: "HTTP" | "HTTPS";
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface TcpAction {
  readonly type: "tcpSocket";
  readonly host: string;
  readonly port: number;
}

export interface GrpcAction {
  readonly type: "grpc";
  readonly host: string;
  readonly port: number;
  /** The name of the service that the server is asked about; "": the server as a whole. */
  readonly service: string;
}

export interface SleepAction {
  readonly type: "sleep";
  readonly ms: number;
}

export interface ProbeOutcome {
  /** `warning` counts as success; `unknown`: the prober itself failed, which says nothing about the app. */
  readonly result: "success" | "warning" | "failure" | "unknown";
  readonly message: string;
}

/** Runs a command in the container that is probed. */
export type ExecIn = (command: readonly string[], signal: AbortSignal) => Promise<ExecSession>;

/** Asks apps how they are, from the host: nothing but the app itself need be in its image. */
export interface Prober {
  /** Never rejects, except when aborted: then with `cancelled`. */
  probe(action: ProbeAction, timeoutMs: number, exec: ExecIn, signal: AbortSignal): Promise<ProbeOutcome>;
  /** Resolves when the hook has done its work. @throws GantryError runtime-failed when it failed; cancelled */
  runHook(action: HookAction, exec: ExecIn, signal: AbortSignal): Promise<void>;
}
