import { constants } from "node:fs";
import { access, open, readdir } from "node:fs/promises";
import { release } from "node:os";
import { errnoOf } from "../system/errors.ts";
import { exec } from "../system/exec.ts";
import type { KernelFeatures, KvmFacts, Presence } from "./facts.ts";
import { text } from "./gather.ts";

/** unshare(1): the command was not found. */
const NOT_FOUND = 127;

/** Rules of every kind that the pods' network uses. */
const NFT_TRIAL = `table ip gantry_trial {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  chain nat { type nat hook prerouting priority -100; fib daddr type local dnat ip to meta l4proto . th dport map @ports; }
  chain post { type nat hook postrouting priority 100; ip saddr 127.0.0.0/8 ct status dnat masquerade; }
}
`;

export async function gatherFeatures(root: boolean, signal: AbortSignal): Promise<KernelFeatures> {
  const filesystems = (await text("/proc/filesystems")).split(/\s+/);
  const modules = await listModules();
  const filesystem = (name: string): Presence => (filesystems.includes(name) ? "yes" : loadable(modules, name));
  const feature = async (module: string, trial: readonly string[], input = ""): Promise<Presence> => {
    if (root) return tryInNetns(trial, input, signal);
    return (await isModule(module)) ? "yes" : loadable(modules, module);
  };
  const [bridge, veth, nftables, actions] = await Promise.all([
    feature("bridge", ["ip", "link", "add", "trial", "type", "bridge"]),
    feature("veth", ["ip", "link", "add", "trial", "type", "veth", "peer", "name", "trial2"]),
    feature("nf_tables", ["nft", "-f", "-"], NFT_TRIAL),
    text("/proc/sys/kernel/seccomp/actions_avail"),
  ]);
  const seccompFilter = actions.split(/\s+/).includes("errno") ? "yes" : "no";
  return { overlay: filesystem("overlay"), erofs: filesystem("erofs"), bridge, veth, nftables, seccompFilter };
}

/** As the tap of a micro-VM is joined with its pod's interface. */
const REDIRECT_TRIAL = `ip link add trial type veth peer name trial2
tc qdisc add dev trial ingress
tc filter add dev trial parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev trial2`;

export async function gatherRedirect(root: boolean, signal: AbortSignal): Promise<Presence> {
  if (root) return await tryInNetns(["sh", "-ec", REDIRECT_TRIAL], "", signal);
  const modules = await listModules();
  const needed = ["sch_ingress", "cls_u32", "act_mirred"];
  return needed.some((name) => loadable(modules, name) === "no") ? "no" : "unknown";
}

/** Does it in a network namespace that is gone at once. Which tool is missing is another check's to say. */
async function tryInNetns(command: readonly string[], input: string, signal: AbortSignal): Promise<Presence> {
  try {
    const { exitCode } = await exec("unshare", ["--net", ...command], {
      signal,
      input,
      okCodes: "any",
      timeoutMs: 10_000,
    });
    if (exitCode === NOT_FOUND) return "unknown";
    return exitCode === 0 ? "yes" : "no";
  } catch (error) {
    if (signal.aborted) throw error;
    return "unknown";
  }
}

const isModule = (name: string): Promise<boolean> =>
  access(`/sys/module/${name}`).then(
    () => true,
    () => false,
  );

/** Names of modules that the kernel has built in or can load; undefined when nobody says (no /lib/modules). */
async function listModules(): Promise<ReadonlySet<string> | undefined> {
  const folder = `/lib/modules/${release()}`;
  const lists = await Promise.all([text(`${folder}/modules.builtin`), text(`${folder}/modules.dep`)]);
  const names = lists.join("\n").match(/[^/\s:]+(?=\.ko)/g);
  return names === null ? undefined : new Set(names.map((name) => name.replaceAll("-", "_")));
}

function loadable(modules: ReadonlySet<string> | undefined, name: string): Presence {
  if (modules === undefined) return "unknown";
  return modules.has(name) ? "unknown" : "no";
}

export async function gatherKvm(): Promise<KvmFacts> {
  const cpu = await text("/proc/cpuinfo");
  const flags = new Set((/^flags\s*:\s*(.*)$/m.exec(cpu)?.[1] ?? "").split(" "));
  const modules = (await readdir("/sys/module").catch(() => [])).filter((name) => /^kvm/.test(name)).sort();
  return {
    device: await kvmDevice(),
    cpuFlag: ["vmx", "svm"].find((flag) => flags.has(flag)),
    modules,
    virtual: flags.has("hypervisor"),
  };
}

async function kvmDevice(): Promise<KvmFacts["device"]> {
  try {
    const handle = await open("/dev/kvm", constants.O_RDWR);
    await handle.close();
    return "usable";
  } catch (error) {
    return errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM" ? "denied" : "missing";
  }
}
