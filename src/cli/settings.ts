import { GantryError } from "../system/errors.ts";
import type { Flags } from "./flags.ts";

/**
 * The settings given on the command line, by the name that they have in the config file.
 * @throws GantryError `usage` for a --set that is no NAME=VALUE
 */
export function settingsOf(flags: Flags): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const text of flags.texts("set")) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new GantryError("usage", `--set '${text}' is not a setting`, {
        hint: "For example: --set log.level=debug",
      });
    }
    settings[name] = value;
  }
  const level = flags.choice("logLevel", ["debug", "info", "warn", "error"]);
  if (level !== undefined) settings["log.level"] = level;
  return settings;
}
