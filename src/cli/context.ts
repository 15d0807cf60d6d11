import type { ApiClient } from "../api/client.ts";
import type { Paths } from "../system/paths.ts";
import type { RemoteWish } from "./kubeconfig/endpoint.ts";
import type { Out } from "./output/out.ts";

/** The world that a command acts on. */
export interface Context {
  readonly paths: Paths;
  /** What --root or GANTRY_ROOT said; undefined for the system-wide layout. */
  readonly root: string | undefined;
  /** What -n said. */
  readonly namespace: string | undefined;
  /** What the context of the kubeconfig says, where another daemon was asked for: as kubectl has it. */
  readonly defaultNamespace: string | undefined;
  readonly verbose: boolean;
  readonly out: Out;
  readonly env: NodeJS.ProcessEnv;
  /** Everything that was typed, for commands to which `--` matters. */
  readonly argv: readonly string[];
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  /** Leaves Ctrl-C and SIGTERM to the command. */
  releaseSignals(): void;
  /** Wall clock, ms since the epoch. */
  now(): number;
  /** Another daemon than that of the root, as --host, --kubeconfig, --context or GANTRY_HOST said. */
  readonly remote: RemoteWish | undefined;
  /** The daemon's API. Making the client connects to nothing. */
  client(): Promise<ApiClient>;
}
