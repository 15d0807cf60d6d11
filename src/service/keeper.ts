/**
 * Services at work: gives each its address, and keeps the name server's file and the kernel's rules equal to what pods
 * are ready. Level-triggered: a change only says to look, and many changes at once are one look. Nothing here stands in
 * the way of a pod's start, and names and rules go on working while the daemon is away.
 */
import { keyOf } from "../controller/entries.ts";
import { resolveService } from "../controller/service.ts";
import type { Problem } from "../manifest/index.ts";
import { networkName } from "../network/own-conflist.ts";
import { readRoutes } from "../network/routes.ts";
import { coalesce } from "../reconcile/coalesce.ts";
import type { TimerHandle } from "../system/clock.ts";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Assignment } from "./addresses.ts";
import { assignServices } from "./assign.ts";
import type { ClusterDns, Served, ServiceKeeper, ServiceParts } from "./contract.ts";
import { DnsServer } from "./dns-server.ts";
import { HostRules } from "./host-rules.ts";
import { namesText } from "./names.ts";
import { PortHolders } from "./port-holders.ts";
import { chooseRange } from "./range.ts";
import { slicesOf } from "./slices.ts";
import { candidateOf, linkOf, namedPods } from "./view.ts";

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
  const ports = new PortHolders();
  const listeners = new Set<() => void>();
  let range: string | undefined;
  let begun = false;
  let timer: TimerHandle | undefined;
  /** The next look compares the host with the rules, too. */
  let mendRules = false;
  const mended: string[] = [];
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
    const made = assignServices(parts.controllers(), range, ports.all(parts.pods()));
    problems = made.problems;
    return made.assignment;
  };

  const resolveAll = ({ byKey }: Assignment): Served[] => {
    const services = parts.controllers().services();
    if (services.length === 0) return [];
    const candidates = parts.pods().map((state) => candidateOf(state, nodeAddress()));
    return services.map(({ live: { object: service } }) => {
      const resolved = resolveService(service, candidates);
      return { service, resolved, ...(byKey.get(resolved.key) ?? { clusterIP: undefined, nodePorts: {} }) };
    });
  };

  /** Where the node has no address that others reach, the one that pods know it by. */
  const nodeAddress = (): string =>
    (parts.nodeIp.startsWith("127.") ? network.own()?.gateway : undefined) ?? parts.nodeIp;

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
    if (await ports.look(assignment)) assignment = assignNow();
    const before = JSON.stringify(served.map(({ resolved }) => resolved));
    served = resolveAll(assignment);
    if (JSON.stringify(served.map(({ resolved }) => resolved)) !== before) for (const listener of listeners) listener();
    await serveNames();
    await serveRules();
    if (!mendRules) return;
    mendRules = false;
    mended.push(...(await rules.mend(stopping.signal)));
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
    const obstacle = parts.hasDnsServer()
      ? await server.obstacle(own.gateway)
      : "dnsmasq is not installed (Debian: apt-get install dnsmasq-base)";
    trouble("dns", obstacle === undefined ? undefined : `${NO_DNS}: ${obstacle}`);
  };

  const mend = async (): Promise<string[]> => {
    if (!begun || stopping.signal.aborted) return [];
    ports.forgetTaken();
    if (troubles.has("dns") && parts.hasDnsServer()) await lookForServer();
    const needed = dns() !== undefined && parts.pods().length > 0 && !server.isRunning();
    mendRules = true;
    await lookSafely();
    await server.trimLog();
    return [...(needed && server.isRunning() ? ["the name server"] : []), ...mended.splice(0)];
  };

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
    mend,
    async close() {
      stopping.abort(new GantryError("cancelled", "the daemon ends", { kind: "system" }));
      clock.clearTimeout(timer);
      await look().catch(() => undefined);
    },
    async remove(signal) {
      await server.remove();
      await rules.remove(signal);
    },
  };
}
