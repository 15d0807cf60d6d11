import { findMissing } from "../setup/find.ts";
import { familyOf, packagesFor, REQUIREMENTS } from "../setup/requirements.ts";
import { exec } from "../system/exec.ts";
import type { ToolFacts } from "./facts.ts";
import { text } from "./gather.ts";

/** How a tool is asked for its version, where that is not --version. */
const ASK: Readonly<Record<string, readonly string[]>> = {
  ip: ["-V"],
  openssl: ["version"],
  ssh: ["-V"],
  busybox: ["--help"],
};

export async function gatherTools(signal: AbortSignal): Promise<ToolFacts> {
  // The CNI plugins and what micro-VMs need have checks of their own.
  const looked = REQUIREMENTS.filter(
    ({ paths, testsOnly, microvmOnly }) => paths === undefined && testsOnly !== true && microvmOnly !== true,
  );
  const missing = findMissing(looked, process.env["PATH"] ?? "");
  const present = looked.filter((requirement) => !missing.includes(requirement));
  const versions = await Promise.all(
    present.map(async ({ tool }): Promise<[string, string]> => [tool, await versionOf(tool, signal)]),
  );
  const family = familyOf(await text("/etc/os-release"));
  const packages = family === undefined ? [] : packagesFor(missing, family);
  return {
    missing: missing.map(({ tool, purpose, packages: names }) => ({
      tool,
      purpose,
      package: family === undefined ? undefined : names[family],
    })),
    versions: Object.fromEntries(versions),
    install: family === "debian" && packages.length > 0 ? `apt-get install ${packages.join(" ")}` : undefined,
  };
}

export async function versionOf(tool: string, signal: AbortSignal): Promise<string> {
  // Administrators' tools are not in a plain user's PATH.
  const env = { PATH: `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`, LANG: "C" };
  try {
    const { stdout, stderr } = await exec(tool, ASK[tool] ?? ["--version"], {
      signal,
      env,
      okCodes: "any",
      timeoutMs: 10_000,
    });
    const said = `${stdout}\n${stderr}`;
    return /\d+(\.\d+)+[-+~\w.]*/.exec(said)?.[0] ?? /version (\d+)/.exec(said)?.[1] ?? "version unknown";
  } catch (error) {
    if (signal.aborted) throw error;
    return "does not start";
  }
}
