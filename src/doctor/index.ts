/** `gantry doctor`: what this host has, what is missing, and how to mend it. */
import { existsSync } from "node:fs";
import { type Config, defaultConfig, loadConfig } from "../config/index.ts";
import { GantryError } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import { type Check, fail, ok } from "./check.ts";
import { judge } from "./checks.ts";
import { gather } from "./gather.ts";

export type { Check } from "./check.ts";

export interface DoctorOptions {
  readonly paths: Paths;
  /** Default: it is loaded, and what is wrong with it is one of the checks. */
  readonly config?: Config;
  readonly signal?: AbortSignal;
}

/** Looks at everything and judges it. Useful without root too, where it says what it could not see. */
export async function runDoctor(options: DoctorOptions): Promise<Check[]> {
  const { paths, signal = new AbortController().signal } = options;
  const { config, check } =
    options.config === undefined ? await configuration(paths) : { config: options.config, check: undefined };
  const checks = judge(await gather(paths, config, signal));
  return check === undefined ? checks : [check, ...checks];
}

async function configuration(paths: Paths): Promise<{ config: Config; check: Check }> {
  try {
    const config = await loadConfig({ paths });
    return {
      config,
      check: ok(
        "configuration",
        existsSync(paths.configFile) ? paths.configFile : `the defaults (no ${paths.configFile})`,
      ),
    };
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    return { config: defaultConfig(paths), check: fail("configuration", error.message, error.hint ?? "Correct it.") };
  }
}

/** A check in the words of the command line. */
export interface Finding {
  readonly name: string;
  readonly status: "ok" | "warning" | "error";
  readonly message: string;
  readonly fix?: string;
}

const STATUS = { ok: "ok", warn: "warning", fail: "error" } as const;

/** `runDoctor` for the command line. */
export async function diagnose(options: DoctorOptions): Promise<Finding[]> {
  const checks = await runDoctor(options);
  return checks.map(({ name, status, found, mend }) => ({
    name,
    status: STATUS[status],
    message: found,
    ...(mend === undefined ? {} : { fix: mend }),
  }));
}
