import { readFileSync } from "node:fs";

/** Gantry's version, from the package.json above src/ or dist/. */
export const VERSION: string = readVersion();

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const version = typeof parsed === "object" && parsed !== null && "version" in parsed ? parsed.version : undefined;
  return typeof version === "string" ? version : "unknown";
}

/** The release of Kubernetes whose API is served, and as whose kubelet probes introduce themselves. */
export const KUBERNETES = { major: "1", minor: "34" } as const;
