import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../../system/clock.ts";
import { toGantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { isAlive } from "../namespace/proc.ts";
import { Guest } from "./channel/guest.ts";
import { containerFiles, type Dirs, sandboxFiles } from "./dirs.ts";
import type { GuestContainer } from "./protocol/index.ts";
import { Qmp } from "./qemu/qmp.ts";
import type { ExitRecord, Records } from "./records.ts";

/** Our ends of the sockets of one VM. */
export interface Machine {
  readonly guest: Guest;
  /** Connects at first use, and again when the connection was lost. */
  qmp(signal: AbortSignal): Promise<Qmp>;
  close(): void;
}

/** How often to look whether a QEMU is gone whose agent cannot be reached. */
const [FIRST_LOOK_MS, LAST_LOOK_MS] = [2, 250];

/** The VMs that this process has connections to. The VMs themselves do not care. */
export interface Machines {
  get(sandboxId: string): Machine;
  /** Its agent has not answered for a while. */
  silent(sandboxId: string): boolean;
  /** Lets go of the sockets. */
  drop(sandboxId: string): void;
  /** The QEMU behind `machine` has ended: whoever waits for its answers is told, and whoever watches. */
  ended(sandboxId: string, machine: Machine): void;
  /** Something may have changed in a sandbox. */
  changed(sandboxId: string): void;
  watch(listener: (sandboxId: string) => void): () => void;
  close(): void;
}

/** @param onDead called when an agent is of no more use */
export function createMachines(
  dirs: Dirs,
  records: Records,
  log: Logger,
  clock: Clock,
  onDead: (sandboxId: string, why: string) => void,
): Machines {
  const machines = new Map<string, Machine>();
  const listeners = new Set<(sandboxId: string) => void>();
  const silent = new Set<string>();
  const changed = (sandboxId: string): void => {
    for (const listener of listeners) listener(sandboxId);
  };

  /** Written down at once, so that an exit code outlives its VM. */
  const keepExit = (sandboxId: string, container: GuestContainer): void => {
    const files = containerFiles(dirs, sandboxId, container.container);
    if (existsSync(files.exit) || !existsSync(files.root)) return;
    records.save(files.exit, exitOf(container, clock)).then(
      () => changed(sandboxId),
      (error: unknown) => {
        if (existsSync(files.root)) log.warn({ error: toGantryError(error).message }, "cannot keep an exit code");
      },
    );
  };

  const ended = (sandboxId: string, machine: Machine): void => {
    if (machines.get(sandboxId) === machine) {
      silent.delete(sandboxId);
      machines.delete(sandboxId);
    }
    machine.close();
    changed(sandboxId);
  };

  /**
   * A QEMU that another daemon started tells us of its end by its sockets only, a moment before it is gone. Of one
   * that is booted just now nothing is written down yet: whoever boots it watches it.
   */
  const noticeEnd = async (sandboxId: string): Promise<void> => {
    const machine = machines.get(sandboxId);
    const record = await records.sandbox(sandboxFiles(dirs, sandboxId).record).catch(() => undefined);
    if (machine === undefined || record?.process === undefined) return;
    for (let waitMs = FIRST_LOOK_MS; machines.get(sandboxId) === machine; waitMs = Math.min(waitMs * 2, LAST_LOOK_MS)) {
      if (!isAlive(record.process)) ended(sandboxId, machine);
      else if (machine.guest.known !== undefined) return;
      else await sleep(waitMs, undefined, { ref: false });
    }
  };

  const open = (sandboxId: string): Machine => {
    const files = sandboxFiles(dirs, sandboxId);
    let qmp: Promise<Qmp> | undefined;
    const guest = new Guest({
      socket: files.agent,
      onChange: () => changed(sandboxId),
      onExit: (container) => keepExit(sandboxId, container),
      onSilence: (is) => {
        if (is) silent.add(sandboxId);
        else silent.delete(sandboxId);
        changed(sandboxId);
      },
      onDead: () => onDead(sandboxId, "the agent in the guest did not answer any more"),
      onHostile: (why) => onDead(sandboxId, `the agent in the guest broke the protocol: ${why}`),
      onLost: () => void noticeEnd(sandboxId),
    });
    return {
      guest,
      async qmp(signal) {
        const now = await qmp?.catch(() => undefined);
        if (now?.alive === true) return now;
        qmp = Qmp.connect(files.qmp, signal);
        return await qmp;
      },
      close() {
        guest.close();
        qmp?.then(
          (open) => open.close(),
          () => {},
        );
      },
    };
  };

  return {
    get(sandboxId) {
      const known = machines.get(sandboxId) ?? open(sandboxId);
      machines.set(sandboxId, known);
      return known;
    },
    silent: (sandboxId) => silent.has(sandboxId),
    drop(sandboxId) {
      silent.delete(sandboxId);
      machines.get(sandboxId)?.close();
      machines.delete(sandboxId);
    },
    ended,
    changed,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      for (const id of [...machines.keys()]) this.drop(id);
    },
  };
}

/** The clock of a guest is set from the host's. */
export function exitOf(container: GuestContainer, clock: Clock): ExitRecord {
  return {
    exitCode: container["exit-code"] ?? 137,
    finishedAt: clock.ofHost(container["finished-ns"] ?? container["created-ns"]),
    oomKilled: container.oom,
    ...(container.message === undefined ? {} : { terminationMessage: container.message }),
  };
}
