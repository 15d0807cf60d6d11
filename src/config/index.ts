/** The configuration: /etc/gantry/config.yaml, GANTRY_… variables and flags. */
export { defaultConfig, defaultServiceSubnet, defaultSubnet } from "./defaults.ts";
export { formatListen, isLoopback, type Listen, parseListen } from "./listen.ts";
export {
  type ConfigSources,
  type EffectiveConfig,
  type EffectiveSetting,
  effectiveConfig,
  loadConfig,
} from "./load.ts";
export type { ConfigProblem } from "./problems.ts";
export type { Config, ConfigLayer } from "./schema.ts";
export { parseShape } from "./sections/microvm.ts";
export { put, type Setting, settings } from "./settings.ts";
