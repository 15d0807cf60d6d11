import { chmod, chown, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Jailer } from "../boot/index.ts";
import { AgentLink } from "../channel/link.ts";
import { releaseVmId, takeVmId } from "../jail/ids.ts";
import { realProgram, viewOf } from "../jail/view.ts";
import { qemuArguments, VIEW, VM_FILES, type VmArguments } from "../qemu/args.ts";
import { killQemus, launchQemu } from "../qemu/process.ts";
import { Qmp } from "../qemu/qmp.ts";
import { copyScratch } from "../scratch.ts";
import { untilAgentAnswers } from "../up.ts";
import { captureState, receiveState } from "./capture.ts";
import type { Template } from "./templates.ts";

/** The guest's kernel has some things to finish after its first process runs; each clone would do them again. */
const SETTLE_MS = 300;

export interface BuildOptions {
  readonly qemu: string;
  readonly jailer: Jailer;
  readonly vm: Omit<VmArguments, "directory" | "incoming" | "memoryFile">;
  /** For its sockets and logs; removed afterwards by the caller. */
  readonly directory: string;
  readonly template: Template;
  /** Path of an empty scratch disk. */
  readonly emptyScratch: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Boots a VM that has nothing of any pod, waits for its agent, and keeps it as a template. @throws GantryError */
export async function buildTemplate(options: BuildOptions): Promise<void> {
  const uid = await takeVmId(options.directory);
  try {
    await makeMemory(options, uid);
    await copyScratch(options.emptyScratch, options.template.scratch, options.signal);
    await bootAndCapture(options, uid);
    await closeMemory(options.template.memory);
  } finally {
    await releaseVmId(uid, options.directory);
  }
}

/** The file is there before QEMU is: all that QEMU may do is to fill it. */
async function makeMemory({ template, vm }: BuildOptions, uid: number): Promise<void> {
  const file = await open(template.memory, "wx", 0o600);
  try {
    await file.truncate(vm.shape.memoryMiB * 2 ** 20);
    await file.chown(uid, uid);
  } finally {
    await file.close();
  }
}

/** From now on it is nobody's: every clone may read it, and does so behind a read-only mount. */
async function closeMemory(path: string): Promise<void> {
  await chown(path, 0, 0);
  await chmod(path, 0o444);
}

async function bootAndCapture(options: BuildOptions, uid: number): Promise<void> {
  const { jailer, vm, directory, template, timeoutMs, signal } = options;
  const path = (name: string): string => join(directory, name);
  const files = { root: directory, log: path(VM_FILES.log), console: path(VM_FILES.console) };
  const memoryFile = { path: template.memory, share: true };
  const binary = realProgram(options.qemu);
  const scratch = await open(template.scratch, "r+");
  const receiver = await receiveState(path("state.sock"));
  const state = { kind: "ro", source: path("state.sock"), target: VIEW.state } as const;
  const process = launchQemu(
    {
      ...{ jailer, binary, files, uid, descriptors: [scratch.fd] },
      arguments: qemuArguments({ ...vm, memoryFile, directory, incoming: false }),
      view: viewOf(binary, { ...vm, memoryFile }, jailer, [state]),
    },
    () => {},
  );
  await scratch.close();
  try {
    await untilAgentAnswers(
      { process, files, timeoutMs },
      async (limit) => {
        const onEvent = (): void => {};
        const { link } = await AgentLink.open(
          path(VM_FILES.agent),
          { retryMs: timeoutMs, fill: false, onEvent },
          limit,
        );
        // Each clone would have to, and needs not: it gets a copy of the disk with the copy of the memory.
        await link.request({ type: "configure", body: { scratchDisk: vm.shape.disks } });
        link.close();
      },
      signal,
    );
    await sleep(SETTLE_MS, undefined, { signal });
    const qmp = await Qmp.connect(path(VM_FILES.qmp), AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
    await captureState(qmp, receiver, template.state);
    qmp.close();
  } finally {
    receiver.close();
    await killQemus(directory);
  }
}
