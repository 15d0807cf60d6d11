import type { ResolvedService } from "../controller/service.ts";
import type { Service } from "../manifest/index.ts";

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
