import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { canInstall, install } from "./apt.ts";
import { findMissing } from "./find.ts";
import { readyMicrovm } from "./microvm.ts";
import { familyOf, instructions, packagesFor, REQUIREMENTS, type Requirement } from "./requirements.ts";
import { readySampleImage } from "./sample.ts";

/**
 * Makes a checkout ready to run: the tools of the system, and with --root DIR the sample image in that root.
 * Does only what is missing and says what; exits with 1, saying what to install, where it can't install it itself.
 */
const { values } = parseArgs({
  options: { root: { type: "string" }, "for-tests": { type: "boolean", default: false } },
});

function say(...lines: readonly string[]): void {
  for (const line of lines) console.log(`gantry set-up: ${line}`);
}

function missingTools(): Requirement[] {
  const wanted = REQUIREMENTS.filter(
    ({ testsOnly, microvmOnly }) =>
      (values["for-tests"] || testsOnly !== true) && (microvmOnly !== true || process.arch === "x64"),
  );
  return findMissing(wanted, process.env["PATH"] ?? "");
}

function osRelease(): string {
  try {
    return readFileSync("/etc/os-release", "utf8");
  } catch {
    return "";
  }
}

/** @returns false when tools that every pod needs are still missing, after saying which and how to get them */
function readyTools(): boolean {
  const missing = missingTools();
  if (missing.length === 0) return true;
  /** Without QEMU and a compiler everything runs but micro-VMs. */
  const enough = (left: readonly Requirement[]): boolean =>
    !values["for-tests"] && left.every(({ microvmOnly }) => microvmOnly === true);
  const consequence = (left: readonly Requirement[]): string[] =>
    enough(left) ? ["only micro-VM pods need them and wait; all others run."] : [];
  const family = familyOf(osRelease());
  if (family === "debian" && canInstall()) {
    const packages = packagesFor(missing, family);
    say("installing what Gantry runs and this machine does not have:");
    for (const { tool, packages: names, purpose } of missing) say(`  ${(names.debian ?? tool).padEnd(28)} ${purpose}`);
    const problem = install(packages);
    const left = missingTools();
    if (left.length === 0) {
      say(`installed ${packages.length} package${packages.length === 1 ? "" : "s"}.`);
      return true;
    }
    say(...(problem ?? "apt-get installed the packages, but some tools are still not there").split("\n"));
    say("could not be installed:", ...instructions(left, family), ...consequence(left));
    return enough(left);
  } else {
    const why = family === "debian" ? "it takes root to install packages" : "this is not a Debian system";
    say(`these tools are missing, and ${why}. Install them, then try again:`, ...instructions(missing, family));
    say(...consequence(missing));
    return enough(missing);
  }
}

if (process.platform !== "linux") {
  say("Gantry runs pods on Linux; this is another system.");
  process.exitCode = 1;
} else if (!readyTools()) {
  process.exitCode = 1;
} else if (process.geteuid?.() !== 0) {
  say("everything is installed, but it takes root to make mounts, networks and containers. Run it as root.");
  process.exitCode = 1;
} else if (values.root !== undefined) {
  await readySampleImage(values.root, say);
  await readyMicrovm(values.root, say);
}
