/** The configuration: /etc/gantry/config.yaml, GANTRY_… variables and flags. */
export { defaultConfig, defaultSubnet } from "./defaults.ts";
export {
  type ConfigSources,
  type EffectiveConfig,
  type EffectiveSetting,
  effectiveConfig,
  loadConfig,
} from "./load.ts";
export type { ConfigProblem } from "./problems.ts";
export type { Config, ConfigLayer } from "./schema.ts";
export { type Setting, settings } from "./settings.ts";
