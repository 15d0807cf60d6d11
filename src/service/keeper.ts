/**
 * Services at work: gives each its address, and keeps the name server's file and the kernel's rules equal to what pods
 * are ready. Level-triggered: a change only says to look, and many changes at once are one look. Nothing here stands in
 * the way of a pod's start, and names and rules go on working while the daemon is away.
 */
import { parseCidr } from "../config/cidr.ts";
import type { Config } from "../config/index.ts";
import { keyOf } from "../controller/entries.ts";
import type { Controllers } from "../controller/manager.ts";
import { resolveService } from "../controller/service.ts";
import { podView } from "../controller/view.ts";
import { portsOf } from "../host-ports.ts";
import { type Problem, placeOfField } from "../manifest/index.ts";
import type { PodNetwork } from "../network/contract.ts";
import { networkName } from "../network/own-conflist.ts";
import type { Exec } from "../network/plugin.ts";
import { checkAgainstHost } from "../network/port-check.ts";
import { readRoutes } from "../network/routes.ts";
import type { PodState } from "../pod/contract.ts";
import { coalesce } from "../reconcile/coalesce.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { type Assignment, assign, type Claimant } from "./addresses.ts";
import { type Assigned, type ClusterDns, portKey, type Served, type ServiceLink } from "./contract.ts";
import { DnsServer } from "./dns-server.ts";
import { HostRules } from "./host-rules.ts";
import { type NamedPod, namesText } from "./names.ts";
import { chooseRange } from "./range.ts";
import { slicesOf } from "./slices.ts";

export interface ServiceParts {
  readonly paths: Paths;
  readonly config: Config;
  readonly exec: Exec;
  readonly log: Logger;
  readonly clock: Clock;
  readonly network: Pick<PodNetwork, "own">;
  /** Whether dnsmasq is on this host. */
  readonly hasDnsServer: boolean;
  /** Address of the node, which pods with hostNetwork have. */
  readonly nodeIp: string;
  readonly controllers: () => Controllers;
  readonly pods: () => readonly PodState[];
  /** Something does not work that did, or the other way round. */
  readonly onTrouble: (what: string) => void;
}

type EndpointSlice = ReturnType<typeof slicesOf>[number];

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
  mend(signal: AbortSignal): Promise<string[]>;
  /** Ends the work; names and rules stay. */
  close(): Promise<void>;
  /** Removes all that was made on the host. */
  remove(signal: AbortSignal): Promise<void>;
}

/** Changes within this time are one. ms */
const BATCH_MS = 20;
const NO_DNS = "names of Services and pods can't be resolved in pods";

export function createServiceKeeper(parts: ServiceParts): ServiceKeeper {
  const { paths, config, exec, log, clock, network } = parts;
  const { domain } = config.network;
  const table = `${networkName(paths.rootId)}_services`;
  const server = new DnsServer(paths);
  const rules = new HostRules(exec, table);
  const stopping = new AbortController();
  const troubles = new Map<"range" | "dns" | "rules", string>();
  /** What of it was told last, so that what fails again and again is told once. */
  const told = new Map<string, string>();
  /** Ports of the host that something else listens on, and those that nothing does: "30080/TCP" → "nginx (pid 12)". */
  const holders = new Map<string, string | undefined>();
  const listeners = new Set<() => void>();
  let range: string | undefined;
  let begun = false;
  let timer: TimerHandle | undefined;
  let served: readonly Served[] = [];
  let problems: readonly Problem[] = [];

  const trouble = (about: "range" | "dns" | "rules", what: string | undefined): void => {
    if (what === undefined) troubles.delete(about);
    else {
      troubles.set(about, what);
      if (told.get(about) !== what) parts.onTrouble(what);
      told.set(about, what);
    }
  };
  const dns = (): ClusterDns | undefined => {
    const own = network.own();
    return own === undefined || troubles.has("dns") ? undefined : { server: own.gateway, domain };
  };

  /** Gives addresses to Services that have none yet. Waits for nothing, so that a pod that starts now sees them. */
  const assignNow = (): Assignment => {
    const controllers = parts.controllers();
    const entries = controllers.services();
    const claimants = entries.map(({ live }): Claimant => {
      return { key: keyOf(live.object), service: live.object, before: live.memory };
    });
    const assignment = assign(
      claimants,
      range === undefined ? undefined : parseCidr(range),
      usedPorts(parts.pods(), holders),
    );
    problems = assignment.refusals.flatMap(({ key, field, message, hint }): Problem[] => {
      const loaded = entries.find(({ live }) => keyOf(live.object) === key)?.loaded;
      if (loaded === undefined) return [];
      return [
        { severity: "error", place: placeOfField(loaded, field), field, message, hint, object: `Service ${key}` },
      ];
    });
    for (const { key, before } of claimants) {
      const now = assignment.byKey.get(key);
      if (now !== undefined && !same(before, now)) controllers.rememberService(key, { ...now });
    }
    return assignment;
  };

  const resolveAll = ({ byKey }: Assignment): Served[] => {
    const services = parts.controllers().services();
    if (services.length === 0) return [];
    const candidates = parts.pods().map((state) => {
      const { pod } = state.desired;
      const { ready, deleting, phase } = podView(pod, state.createdAt, state);
      const over = phase === "Succeeded" || phase === "Failed";
      return { pod, ips: over ? [] : addressesOf(state), ready, deleting };
    });
    return services.map(({ live: { object: service } }) => {
      const resolved = resolveService(service, candidates);
      return { service, resolved, ...(byKey.get(resolved.key) ?? { clusterIP: undefined, nodePorts: {} }) };
    });
  };

  /** With hostNetwork the node's; where the node has none that others reach, the one that pods know it by. */
  const addressesOf = ({ desired, sandbox }: PodState): readonly string[] => {
    if (desired.pod.spec.hostNetwork !== true) return sandbox?.ips ?? [];
    const own = network.own();
    return [parts.nodeIp.startsWith("127.") && own !== undefined ? own.gateway : parts.nodeIp];
  };

  /** Ports of the host that a Service is to have, and that nobody looked at yet. */
  const lookAtPorts = async ({ byKey }: Assignment): Promise<boolean> => {
    const wanted = [...byKey.values()].flatMap(({ nodePorts }) =>
      Object.entries(nodePorts).map(([key, port]) => `${port}/${key.split("/")[1]}`),
    );
    for (const known of holders.keys())
      if (holders.get(known) === undefined && !wanted.includes(known)) holders.delete(known);
    let found = false;
    for (const key of wanted.filter((port) => !holders.has(port))) {
      const holder = await listenerOn(key);
      holders.set(key, holder);
      found ||= holder !== undefined;
    }
    return found;
  };

  const serveNames = async (): Promise<void> => {
    const wanted = dns();
    const pods = parts.pods();
    if (wanted === undefined || pods.length === 0) return;
    try {
      await server.write(namesText(domain, namedPods(pods), served));
      await server.ensure(wanted, stopping.signal);
    } catch (error) {
      if (isGantryError(error, "cancelled")) return;
      trouble("dns", `${NO_DNS}: ${messageOf(error)}`);
    }
  };

  const serveRules = async (): Promise<void> => {
    const own = network.own();
    const wanted = dns();
    const guarded = own !== undefined && wanted !== undefined && server.isRunning();
    if (served.length === 0 && !guarded && !rulesMade) return;
    rulesMade = true;
    try {
      await rules.apply(
        {
          table,
          range: served.length === 0 ? undefined : range,
          dns: guarded ? { server: own.gateway, bridge: own.bridge } : undefined,
          services: served,
          route: own === undefined ? undefined : { bridge: own.bridge, source: own.gateway },
        },
        stopping.signal,
      );
      trouble("rules", undefined);
    } catch (error) {
      if (isGantryError(error, "cancelled")) return;
      trouble("rules", `Services can't be reached: ${messageOf(error)}`);
    }
  };
  let rulesMade = false;

  const look = coalesce(async (): Promise<void> => {
    if (stopping.signal.aborted) return;
    let assignment = assignNow();
    if (await lookAtPorts(assignment)) assignment = assignNow();
    const before = JSON.stringify(served.map(({ resolved }) => resolved));
    served = resolveAll(assignment);
    if (JSON.stringify(served.map(({ resolved }) => resolved)) !== before) for (const listener of listeners) listener();
    await serveNames();
    await serveRules();
  });
  const lookSafely = async (): Promise<void> => {
    await look().catch((error: unknown) =>
      log.error({ err: error }, "Services could not be looked at; the next change tries again"),
    );
  };
  const changed = (): void => {
    if (!begun || stopping.signal.aborted || timer !== undefined) return;
    timer = clock.setTimeout(() => {
      timer = undefined;
      void lookSafely();
    }, BATCH_MS);
  };

  const lookForServer = async (): Promise<void> => {
    const own = network.own();
    if (own === undefined) return;
    const obstacle = parts.hasDnsServer
      ? await server.obstacle(own.gateway)
      : "dnsmasq is not installed (Debian: apt-get install dnsmasq-base)";
    trouble("dns", obstacle === undefined ? undefined : `${NO_DNS}: ${obstacle}`);
  };

  const mend = async (signal: AbortSignal): Promise<string[]> => {
    if (!begun || stopping.signal.aborted) return [];
    const before = new Set(troubles.keys());
    for (const [port, holder] of holders) if (holder !== undefined) holders.delete(port);
    if (before.has("dns") && parts.hasDnsServer) await lookForServer();
    const wasRunning = server.isRunning();
    const needed = dns() !== undefined && parts.pods().length > 0;
    await lookSafely();
    await server.trimLog();
    const mended = wasRunning || !needed || !server.isRunning() ? [] : ["the name server"];
    return [...mended, ...(await rules.mend(AbortSignal.any([signal, stopping.signal])))];
  };
  let mending: Promise<unknown> = Promise.resolve();

  return {
    async start(signal) {
      try {
        const own = network.own();
        const routes = await readRoutes(exec, signal);
        const { rootId } = paths;
        const chosen = chooseRange({
          rootId,
          configured: config.network.serviceSubnet,
          podSubnet: own?.subnet,
          routes,
          bridge: own?.bridge ?? "",
        });
        if ("range" in chosen) range = chosen.range;
        else trouble("range", chosen.trouble);
        await lookForServer();
      } catch (error) {
        trouble("range", `Services have no addresses: ${messageOf(error)}`);
      }
    },
    begin() {
      begun = true;
      changed();
    },
    changed,
    dns,
    links(namespace) {
      const { byKey } = assignNow();
      return parts
        .controllers()
        .services()
        .flatMap(({ live: { object } }) => linkOf(object, namespace, byKey));
    },
    slices(nodeName) {
      const known = new Map(
        parts
          .controllers()
          .services()
          .map(({ live }) => [keyOf(live.object), live]),
      );
      return served.flatMap((one) => {
        const live = known.get(one.resolved.key);
        return live === undefined ? [] : slicesOf({ served: one, uid: live.uid, createdAt: live.createdAt, nodeName });
      });
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    problems: () => problems,
    troubles: () => [...troubles.values()],
    mend(signal) {
      mending = mend(signal);
      return mending;
    },
    async close() {
      stopping.abort(new GantryError("cancelled", "the daemon ends", { kind: "system" }));
      clock.clearTimeout(timer);
      await Promise.allSettled([look(), mending]);
    },
    async remove(signal) {
      await server.remove();
      await rules.remove(signal);
    },
  };
}

/** Pods that have an address, by their names; of two that follow each other, the one that stays. */
function namedPods(states: readonly PodState[]): NamedPod[] {
  const named = states.flatMap((state): (NamedPod & { readonly leaving: boolean })[] => {
    const { namespace, name } = state.desired.pod.metadata;
    const leaving = state.deletionDeadline !== undefined;
    return state.sandbox === undefined || state.desired.pod.spec.hostNetwork === true
      ? []
      : [{ namespace, name, ips: state.sandbox.ips, leaving }];
  });
  const staying = new Set(named.filter(({ leaving }) => !leaving).map(({ namespace, name }) => `${namespace}/${name}`));
  return named
    .filter(({ namespace, name, leaving }) => !leaving || !staying.has(`${namespace}/${name}`))
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

function usedPorts(pods: readonly PodState[], holders: ReadonlyMap<string, string | undefined>): Map<string, string> {
  const used = [...holders].flatMap(([port, holder]): [string, string][] =>
    holder === undefined ? [] : [[port, holder]],
  );
  const ofPods = pods.flatMap(({ desired }) =>
    portsOf(desired.pod).map((port): [string, string] => [portKey(port), `pod ${desired.key}`]),
  );
  return new Map([...used, ...ofPods]);
}

/** @param key "30080/TCP" @returns "nginx (pid 12)" */
async function listenerOn(key: string): Promise<string | undefined> {
  const [port, protocol] = key.split("/");
  if (protocol !== "TCP" && protocol !== "UDP") return undefined;
  try {
    await checkAgainstHost([{ hostPort: Number(port), containerPort: Number(port), protocol }]);
    return undefined;
  } catch (error) {
    if (!isGantryError(error, "port-in-use")) return messageOf(error);
    return String(error.details["holder"] ?? "another process");
  }
}

function linkOf(service: Served["service"], wanted: string, byKey: Assignment["byKey"]): ServiceLink[] {
  const { name, namespace } = service.metadata;
  const clusterIP = byKey.get(`${namespace}/${name}`)?.clusterIP;
  if (namespace !== wanted || clusterIP === undefined || clusterIP === "None") return [];
  return [{ name, clusterIP, ports: service.spec.ports ?? [] }];
}

function same(before: Partial<Assigned>, now: Assigned): boolean {
  return before.clusterIP === now.clusterIP && JSON.stringify(before.nodePorts ?? {}) === JSON.stringify(now.nodePorts);
}
