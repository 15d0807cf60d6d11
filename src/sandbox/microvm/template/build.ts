import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentLink } from "../channel/link.ts";
import { qemuArguments, VM_FILES, type VmArguments } from "../qemu/args.ts";
import { killQemus, launchQemu } from "../qemu/process.ts";
import { Qmp } from "../qemu/qmp.ts";
import { untilAgentAnswers } from "../up.ts";
import { captureState } from "./capture.ts";
import type { Template } from "./templates.ts";

/** The guest's kernel has some things to finish after its first process runs; each clone would do them again. */
const SETTLE_MS = 300;
const NEVER: AbortSignal = new AbortController().signal;

export interface BuildOptions {
  readonly qemu: string;
  readonly vm: Omit<VmArguments, "directory" | "incoming" | "memoryFile">;
  /** For its sockets and logs; removed afterwards by the caller. */
  readonly directory: string;
  readonly template: Template;
  readonly timeoutMs: number;
}

/** Boots a VM that has nothing of any pod, waits for its agent, and keeps it as a template. @throws GantryError */
export async function buildTemplate({ qemu, vm, directory, template, timeoutMs }: BuildOptions): Promise<void> {
  const path = (name: string): string => join(directory, name);
  const files = { root: directory, log: path("qemu.log"), console: path(VM_FILES.console) };
  const memoryFile = { path: template.memory, share: true };
  const process = launchQemu(
    { binary: qemu, arguments: qemuArguments({ ...vm, memoryFile, directory, incoming: false }), files, netns: "new" },
    () => {},
  );
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
        link.close();
      },
      NEVER,
    );
    await sleep(SETTLE_MS);
    const qmp = await Qmp.connect(path(VM_FILES.qmp), AbortSignal.timeout(timeoutMs));
    await captureState(qmp, path("state.sock"), template.state);
    qmp.close();
  } finally {
    await killQemus(directory);
  }
}
