import { readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isGantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { readIfThere } from "./files.ts";

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** The command may not have been started yet. ms, and how often that is waited for. */
const RETRY_MS = 50;
const RETRIES = 100;

/**
 * Keeps the size of the terminal inside a container as it was last told. The OCI runtimes copy the size of their own
 * terminal when they start; crun 1.8 does not copy it again.
 */
export class InnerTerminalSize {
  readonly #pidFile: string;
  readonly #ended: () => boolean;
  #wanted: TerminalSize | undefined;
  #working = false;

  constructor(pidFile: string, ended: () => boolean) {
    this.#pidFile = pidFile;
    this.#ended = ended;
  }

  set(size: TerminalSize): void {
    this.#wanted = size;
    if (this.#working) return;
    this.#working = true;
    void this.#work().finally(() => {
      this.#working = false;
    });
  }

  async #work(): Promise<void> {
    for (let tries = 0; this.#wanted !== undefined && !this.#ended() && tries < RETRIES; tries += 1) {
      const size = this.#wanted;
      const terminal = await this.#terminal();
      if (terminal === undefined) {
        await delay(RETRY_MS);
        continue;
      }
      this.#wanted = undefined;
      // It may have ended meanwhile; a wrong size is no reason to end what runs.
      await exec("stty", ["-F", terminal, "cols", String(size.cols), "rows", String(size.rows)]).catch((error) => {
        if (!isGantryError(error)) throw error;
      });
    }
  }

  async #terminal(): Promise<string | undefined> {
    const pid = (await readIfThere(this.#pidFile))?.trim();
    if (pid === undefined || pid === "") return undefined;
    return [0, 1, 2].map((fd) => `/proc/${pid}/fd/${fd}`).find(isTerminal);
  }
}

function isTerminal(path: string): boolean {
  try {
    return /^\/(dev\/)?pts\/\d+$|^\/dev\/console$/.test(readlinkSync(path));
  } catch {
    return false; // it has ended, or closed it
  }
}
