import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { GantryError } from "../system/errors.ts";
import { allowLoopbackSource } from "./bridge.ts";
import { addChain, delChain } from "./chain.ts";
import { mapsPorts } from "./conflist.ts";
import { forgetUdpFlows } from "./conntrack.ts";
import type { AttachRequest, NetworkResult, PodNetwork } from "./contract.ts";
import { collect } from "./garbage.ts";
import { KeyedLock } from "./locks.ts";
import { hasHostEnds, rejoinBridge } from "./mend.ts";
import { hasAddresses, isNetns } from "./netns.ts";
import type { NodeNetwork, NodeOptions } from "./node.ts";
import { buildNode, builtNode, removeNode } from "./node-setup.ts";
import { bridgeName, leaseFolder, networkName, type OwnNetwork } from "./own-conflist.ts";
import { checkAgainstHost, checkAgainstPods } from "./port-check.ts";
import { portRules } from "./port-rules.ts";
import { PortTable } from "./port-table.ts";
import { type AttachmentRecord, Records } from "./records.ts";
import { hostInterfaces, parseCniResult, toNetworkResult } from "./result.ts";

/** Undoing goes on after the caller has given up, for at most this long. */
const UNDO_MS = 20_000;
/**
 * Garbage collection keeps its hands off what was attached less than this ago: `known` was gathered before, and the
 * pods of a starting daemon come up meanwhile.
 */
const FRESH_MS = 60_000;
/** Keys of the locks: sandbox ids have no colon. */
const NODE = ":node";

/** CNI plugins for the interface, one nft table for host ports and masquerading. See contract.ts. */
export class CniPodNetwork implements PodNetwork {
  readonly #options: NodeOptions;
  readonly #folder: string;
  readonly #records: Records;
  readonly #ports: PortTable;
  readonly #node = new KeyedLock();
  readonly #sandboxes = new KeyedLock();
  #own: OwnNetwork | undefined;
  /** When this process attached a sandbox, in ms of the monotonic clock. */
  readonly #attachedAt = new Map<string, number>();

  constructor(options: NodeOptions) {
    const { paths, log, exec } = options;
    this.#options = options;
    this.#folder = join(paths.run, "network");
    this.#records = new Records(this.#folder, (file) =>
      log.warn({ file }, "the record of a pod's network is damaged; that network is removed or made anew"),
    );
    this.#ports = new PortTable(exec, networkName(paths.rootId), this.#records);
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#build(signal);
  }

  own(): OwnNetwork | undefined {
    return this.#own;
  }

  attach(request: AttachRequest, signal: AbortSignal): Promise<NetworkResult> {
    return this.#sandboxes.run(request.sandboxId, async () => {
      await this.#records.load();
      const existing = this.#records.get(request.sandboxId);
      if (existing !== undefined && (await this.#isTrue(existing, request, signal))) return resultOf(existing);
      await this.#release(request.sandboxId, request.netns, signal);
      return this.#make(await this.#intend(request, signal), signal);
    });
  }

  detach(sandboxId: string, signal: AbortSignal): Promise<void> {
    return this.#sandboxes.run(sandboxId, async () => {
      await this.#records.load();
      await this.#release(sandboxId, "", signal);
    });
  }

  isIntact(sandboxId: string): boolean {
    const record = this.#records.get(sandboxId);
    return record === undefined || hasHostEnds(record, bridgeName(this.#options.paths.rootId));
  }

  async mend(signal: AbortSignal): Promise<string[]> {
    await this.#records.load();
    if (this.#records.all().length === 0) return []; // the next attach makes what it needs
    const built = await builtNode(this.#options, this.#ports);
    const { own } = built ?? (await this.#build(signal));
    const mended = built === undefined ? ["the bridge"] : [];
    if (own !== undefined) {
      const rejoined = await rejoinBridge(this.#options.exec, own.bridge, this.#records.all(), signal);
      mended.push(...rejoined.map((name) => `${name}, which was in no bridge`));
    }
    if (await this.#ports.isIntact(signal)) return mended;
    await this.#ports.rebuild(own, signal);
    return [...mended, "the nft table"];
  }

  async collectGarbage(known: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
    const { own } = await this.#build(signal);
    return collect({
      known,
      own,
      leases: leaseFolder(this.#options.paths),
      records: this.#records,
      busy: () => this.#sandboxes.busy(),
      fresh: (id) => performance.now() - (this.#attachedAt.get(id) ?? -FRESH_MS) < FRESH_MS,
      exec: this.#options.exec,
      signal,
      release: (id) =>
        this.#sandboxes.run(id, async () =>
          this.#undo(this.#records.get(id) ?? (await this.#lost(id, "", signal)), signal),
        ),
      repairPorts: async () => {
        if (await this.#ports.isIntact(signal)) return false;
        await this.#ports.rebuild(own, signal);
        return true;
      },
    });
  }

  /** @throws conflict while a pod is attached */
  async teardown(signal: AbortSignal): Promise<void> {
    await this.#node.run(NODE, async () => {
      await this.#records.load();
      const [left] = this.#records.all();
      if (left !== undefined) {
        throw new GantryError("conflict", `the network is in use by pod ${left.podNamespace}/${left.podName}`, {
          hint: "Remove every pod first.",
        });
      }
      await removeNode(this.#options, this.#ports, signal);
      await rm(leaseFolder(this.#options.paths), { recursive: true, force: true });
      await rm(this.#folder, { recursive: true, force: true });
      this.#records.forget();
    });
  }

  #build(signal: AbortSignal): Promise<NodeNetwork> {
    return this.#node.run(NODE, async () => {
      await this.#records.load();
      const built = await buildNode(this.#options, this.#ports, this.#records.all().length > 0, signal);
      this.#own = built.own;
      return built;
    });
  }

  /** True when an earlier attach was for the same request and the interface is still there. */
  async #isTrue(record: AttachmentRecord, request: AttachRequest, signal: AbortSignal): Promise<boolean> {
    if (
      record.result === undefined ||
      record.netns !== request.netns ||
      !isDeepStrictEqual(record.portMappings, [...request.portMappings])
    )
      return false;
    const { interfaceName, ips } = toNetworkResult(record.result);
    return hasAddresses(this.#options.exec, record.netns, interfaceName, ips, signal);
  }

  /** Checks what can be checked, and records what is to be done before anything is. */
  async #intend(request: AttachRequest, signal: AbortSignal): Promise<AttachmentRecord> {
    const { sandboxId, podNamespace, podName, netns } = request;
    const { found } = (await builtNode(this.#options, this.#ports)) ?? (await this.#build(signal));
    if (!(await isNetns(netns))) {
      throw new GantryError("network-failed", `${netns} is no network namespace`, {
        kind: "system",
        hint: "The sandbox has to be made anew.",
      });
    }
    const portMappings = [...request.portMappings];
    await checkAgainstHost(portMappings);
    // From here to `put` nothing waits: of two pods that want one port, one finds the other.
    checkAgainstPods(portMappings, this.#records.all());
    const ownPorts = portMappings.length > 0 && !mapsPorts(found.conflist);
    const record: AttachmentRecord = {
      version: 1,
      sandboxId,
      podNamespace,
      podName,
      netns,
      conflist: found.conflist,
      portMappings,
      ownPorts,
    };
    this.#records.put(record);
    return record;
  }

  async #make(intent: AttachmentRecord, signal: AbortSignal): Promise<NetworkResult> {
    const { exec, log } = this.#options;
    try {
      const output = await addChain(exec, intent, signal);
      const record: AttachmentRecord = { ...intent, result: parseCniResult(output, intent.conflist.name) };
      this.#records.put(record);
      await this.#openPorts(record, signal);
      this.#attachedAt.set(record.sandboxId, performance.now());
      return resultOf(record);
    } catch (error) {
      await this.#undo(this.#records.get(intent.sandboxId) ?? intent, AbortSignal.timeout(UNDO_MS)).catch(
        (undoError: unknown) => {
          // It stays in the records: the next attach, detach or collection tries again.
          log.warn({ err: undoError, sandboxId: intent.sandboxId }, "could not undo a half-made pod network");
        },
      );
      throw error;
    }
  }

  async #openPorts(record: AttachmentRecord, signal: AbortSignal): Promise<void> {
    if (portRules(record).length === 0 || record.result === undefined) return;
    await Promise.all(hostInterfaces(record.result).map(allowLoopbackSource));
    await this.#ports.add(record);
    await forgetUdpFlows(this.#options.exec, record.portMappings, signal);
  }

  /** Takes back what the records know of a sandbox. */
  async #release(sandboxId: string, netns: string, signal: AbortSignal): Promise<void> {
    const record = this.#records.get(sandboxId);
    if (record !== undefined) await this.#undo(record, signal);
    else if (this.#records.damaged().has(sandboxId))
      await this.#undo(await this.#lost(sandboxId, netns, signal), signal);
  }

  /** Every step may find its work done already: the daemon can die between any two. */
  async #undo(record: AttachmentRecord, signal: AbortSignal): Promise<void> {
    const netns = (await isNetns(record.netns)) ? record.netns : "";
    await bothDone(this.#ports.remove(record), delChain(this.#options.exec, record, netns, signal));
    await this.#records.remove(record.sandboxId);
    this.#attachedAt.delete(record.sandboxId);
  }

  /** Stands in for a record that can't be read: today's network, no ports. */
  async #lost(sandboxId: string, netns: string, signal: AbortSignal): Promise<AttachmentRecord> {
    const { found } = (await builtNode(this.#options, this.#ports)) ?? (await this.#build(signal));
    return {
      version: 1,
      sandboxId,
      podNamespace: "",
      podName: "",
      netns,
      conflist: found.conflist,
      portMappings: [],
      ownPorts: false,
    };
  }
}

function resultOf(record: AttachmentRecord): NetworkResult {
  return toNetworkResult(parseCniResult(record.result, record.conflist.name));
}

/** Like Promise.all, but waits for both also when one fails, so that trying again never runs beside the first try. */
async function bothDone(a: Promise<void>, b: Promise<void>): Promise<void> {
  await Promise.allSettled([a, b]);
  await Promise.all([a, b]);
}
