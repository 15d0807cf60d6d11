import type { Config } from "../config/index.ts";
import type { Controllers } from "../controller/manager.ts";
import type { ResolvedService } from "../controller/service.ts";
import type { Problem, Service } from "../manifest/index.ts";
import type { PodNetwork } from "../network/contract.ts";
import type { Exec } from "../network/plugin.ts";
import type { PodState } from "../pod/contract.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import type { EndpointSlice } from "./slices.ts";

/** The name server that pods ask, and the domain of their names. */
export interface ClusterDns {
  /** IPv4 address that every pod of this node reaches. */
  readonly server: string;
  /** "cluster.local" */
  readonly domain: string;
}

/** A Service as its links in the environment of pods tell of it. */
export interface ServiceLink {
  readonly name: string;
  readonly clusterIP: string;
  readonly ports: readonly {
    readonly name?: string | undefined;
    readonly port: number;
    readonly protocol: string;
  }[];
}

/** What a Service got besides what its manifest says. */
export interface Assigned {
  /** "None" of a headless one; undefined where it could not get any. */
  readonly clusterIP: string | undefined;
  /** Ports of the host by "<port>/<protocol>" of the Service. */
  readonly nodePorts: Readonly<Record<string, number>>;
}

/** A Service that is to be served: its address, and who is behind it. */
export interface Served extends Assigned {
  readonly service: Service;
  readonly resolved: ResolvedService;
}

/** "80/TCP" */
export function portKey({ port, protocol }: { readonly port: number; readonly protocol: string }): string {
  return `${port}/${protocol}`;
}

/** Whether it has a name, but no address of its own. */
export function isHeadless({ spec }: Service): boolean {
  return spec.clusterIP === "None" || spec.clusterIPs?.[0] === "None";
}

export interface ServiceParts {
  readonly paths: Paths;
  readonly config: Config;
  readonly exec: Exec;
  readonly log: Logger;
  readonly clock: Clock;
  readonly network: Pick<PodNetwork, "own">;
  /** Whether dnsmasq is on this host. */
  readonly hasDnsServer: () => boolean;
  /** Address of the node, which pods with hostNetwork have. */
  readonly nodeIp: string;
  readonly controllers: () => Controllers;
  readonly pods: () => readonly PodState[];
  /** Something does not work that did, or the other way round. */
  readonly onTrouble: (what: string) => void;
}

export interface ServiceKeeper {
  /** Looks at the host; call it before pods start. Fails for nothing: what is wrong is told by `troubles`. */
  start(signal: AbortSignal): Promise<void>;
  /** From now on Services are served: what is wanted, and what runs, is known. */
  begin(): void;
  /** A pod or a Service is another one than before. */
  changed(): void;
  /** What pods are to ask for names; undefined where there is no name server for them. */
  dns(): ClusterDns | undefined;
  /** The Services of a namespace that have an address. */
  links(namespace: string): readonly ServiceLink[];
  /** Who is behind each Service now. */
  slices(nodeName: string): readonly EndpointSlice[];
  /** Calls back when `slices` has something else to say. */
  watch(listener: () => void): () => void;
  /** What is wrong with the Services as they are written. */
  problems(): readonly Problem[];
  /** What does not work on this host, as sentences. */
  troubles(): readonly string[];
  /** Puts right what others changed. @returns what */
  mend(): Promise<string[]>;
  /** Ends the work; names and rules stay. */
  close(): Promise<void>;
  /** Removes all that was made on the host. */
  remove(signal: AbortSignal): Promise<void>;
}
