import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { GantryError } from "../../../system/errors.ts";
import { removeCgroup } from "../../cgroup/cgroup.ts";
import { removeTree } from "../../namespace/files.ts";
import { unmountBelow } from "../../namespace/mounts.ts";
import { isAlive, type ProcessId } from "../../namespace/proc.ts";
import { type BootedVm, bootVm, templateFacts } from "../boot-vm.ts";
import { isRefusal, pushFiles } from "../channel/push.ts";
import type { Context } from "../context.ts";
import { type SandboxFiles, STANDBY, sandboxFiles, vmCgroup } from "../dirs.ts";
import { ETC_VOLUME } from "../etc-volume.ts";
import { makeVmCgroup } from "../jail/cgroup.ts";
import { releaseVmId, takeVmId } from "../jail/ids.ts";
import { pinNetns } from "../network/tap.ts";
import type { VmPlan } from "../plan.ts";
import type { CreateRequest, GuestNetwork } from "../protocol/index.ts";
import { ejectImage, insertImage } from "../qemu/devices.ts";
import { killQemus } from "../qemu/process.ts";
import { templateKey } from "../template/templates.ts";
import type { Waiting } from "./pool.ts";

/** What a standby VM is made for. */
export interface StandbyRequest {
  readonly key: string;
  readonly plan: VmPlan;
  /** To rehearse with: what a pod of that kind asked for last, without anything of the pod's own. */
  readonly container: CreateRequest;
}

/** A VM that waits, paused, in a directory of its own. */
export interface Standby extends Waiting {
  readonly uid: number;
  readonly process: ProcessId;
  readonly boot: BootedVm["boot"];
  readonly netInode: number;
}

/** Pods whose VMs come from the same template may have each other's. */
export function standbyKey(ctx: Context, plan: VmPlan): string {
  return templateKey(templateFacts(ctx, plan));
}

/** @param body what the container was created with */
export function standbyRequest(ctx: Context, plan: VmPlan, body: CreateRequest): StandbyRequest {
  const process = { ...body.process, argv: ["/.gantry-rehearsal"], env: [], cwd: "/" };
  const container: CreateRequest = {
    ...body,
    ...{ process, container: "rehearsal", image: 0, logPort: 0, stdin: "closed", tty: false, sharePidNamespace: false },
    mounts: body.mounts.filter(({ volume }) => volume === ETC_VOLUME),
  };
  return { key: standbyKey(ctx, plan), plan, container };
}

let count = 0;

/**
 * Clones a VM, has it do all that a pod's start asks of it, and pauses it: it takes no processor time then.
 * @throws GantryError as `bootVm` does
 */
export async function buildStandby(ctx: Context, request: StandbyRequest, signal: AbortSignal): Promise<Standby> {
  const { key, plan } = request;
  await requireRoom(plan.shape.memoryMiB);
  const id = `${STANDBY}${process.pid}-${++count}`;
  const files = sandboxFiles(ctx.dirs, id);
  const uid = await takeVmId(files.root);
  try {
    await mkdir(files.containers, { recursive: true, mode: 0o711 });
    await writeFile(files.net, "", { mode: 0o444 });
    const cgroup = makeVmCgroup(ctx.cgroups, vmCgroup(ctx.dirs, id), plan.shape, {});
    const netns = pinNetns(files.net, signal);
    const booted = await bootVm(ctx, id, { plan, jail: { uid, cgroup }, volumes: [], netns }, signal);
    if (booted.boot.how !== "clone")
      throw new GantryError("runtime-failed", "there is no template for it", { kind: "system" });
    await rehearse(ctx, id, files, request, signal);
    await (await ctx.machines.get(id).qmp(signal)).run("stop");
    ctx.machines.drop(id);
    return { ...booted, key, id, uid, netInode: statSync(files.net).ino };
  } catch (error) {
    await destroyStandby(ctx, { id, uid });
    throw error;
  }
}

/** A VM for nobody yet must not take what pods need: twice its memory has to be free. */
async function requireRoom(memoryMiB: number): Promise<void> {
  const kiB = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1]);
  if (kiB / 1024 < 2 * memoryMiB)
    throw new GantryError("host-unsupported", `only ${Math.round(kiB / 1024)} MiB of memory are free`, {
      kind: "system",
    });
}

/** Removes every trace of one. */
export async function destroyStandby(ctx: Context, { id, uid }: Pick<Standby, "id" | "uid">): Promise<void> {
  const files = sandboxFiles(ctx.dirs, id);
  await killQemus(files.root);
  ctx.machines.drop(id);
  await removeCgroup(ctx.cgroups, vmCgroup(ctx.dirs, id));
  await unmountBelow(files.root, new AbortController().signal);
  await removeTree(files.root);
  await releaseVmId(uid, files.root);
}

export function isWaiting({ process }: Standby): boolean {
  return isAlive(process);
}

/** Nothing else is on the network of a VM that waits. */
const NOWHERE: GuestNetwork = {
  mac: "02:00:00:00:00:01",
  mtu: 1500,
  addresses: ["192.0.2.2/24"],
  routes: [{ destination: "default", gateway: "192.0.2.1" }],
};
const ENTROPY_BYTES = 256;
const SOME_FILES = ["hosts", "resolv.conf", "hostname"];

/** What is left of it in the guest, every pod replaces: hostname, addresses, and the files of /etc. */
async function rehearse(
  ctx: Context,
  id: string,
  files: SandboxFiles,
  { plan, container }: StandbyRequest,
  signal: AbortSignal,
): Promise<void> {
  const { guest, qmp } = ctx.machines.get(id);
  const configure = {
    wallClockNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(ENTROPY_BYTES),
    hostname: "standby",
    network: NOWHERE,
    scratchDisk: plan.shape.disks,
  };
  await guest.request({ type: "configure", body: configure }, signal);
  await guest.request({ type: "volume", body: { name: ETC_VOLUME, source: { type: "files" }, mode: 0o755 } }, signal);
  const link = await guest.link(signal);
  const texts = SOME_FILES.map((path) => ({ path, mode: 0o644, data: Buffer.from("127.0.0.1\n") }));
  await guest.pushing(() => pushFiles(link, ETC_VOLUME, texts, false));
  const controls = { qmp: await qmp(signal), jailer: files.jailer };
  await insertImage(controls, 0, await ctx.emptyImage());
  await guest.request({ type: "create", body: container }, signal);
  await guest.refresh(signal);
  // An empty image has no such program: all but its own steps are gone through.
  await guest.request({ type: "start", body: { container: container.container } }, signal).catch((error: unknown) => {
    if (!isRefusal(error)) throw error;
  });
  await guest.request({ type: "remove", body: { container: container.container } }, signal);
  await guest.refresh(signal);
  await ejectImage(controls.qmp, 0);
}
