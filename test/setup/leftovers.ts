import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { exec } from "../../src/system/exec.ts";
import { readMounts } from "../../src/system/mounts.ts";

/** What there is on this host of the kinds of things that Gantry makes, each in words that name it. */
export type Inventory = ReadonlySet<string>;

/** Programs that hold pods, or serve them; one of them left running is a leak. */
const HOLDERS = new Set(["conmon", "catatonit", "crun", "runc", "skopeo", "umoci", "dnsmasq"]);

export async function takeInventory(): Promise<Inventory> {
  const asked = await Promise.all([mounts(), networkLinks(), nftTables()]);
  return new Set([...asked.flat(), ...processes(), ...cgroups(), ...pinnedNamespaces()]);
}

/** What has come since `before`; things that take a moment to vanish (a kernel's work on a dead netns) get some patience. */
export async function leftoversSince(before: Inventory, patienceMs = 5_000): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = [...(await takeInventory())].filter((thing) => !before.has(thing)).sort();
    if (left.length === 0 || Date.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Mount points, as this process sees them. */
export async function mounts(): Promise<string[]> {
  return (await readMounts()).map(({ path }) => `mount ${path}`);
}

/** Processes that hold pods, or that have `marks` in their command line. */
export function processes(...marks: readonly string[]): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => {
      const words = commandLine(pid);
      const line = words.join(" ");
      const holds =
        HOLDERS.has(basename(words[0] ?? "")) ||
        (words[0] ?? "").includes("qemu-system") ||
        (words[0] ?? "").startsWith(`${tmpdir()}/`) || // something that a test has built
        /\bmain\.ts daemon\b/.test(line);
      const wanted = marks.length === 0 ? holds : marks.some((mark) => line.includes(mark));
      return wanted ? [`process ${pid}: ${line.slice(0, 160)}`] : [];
    });
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .filter((word) => word !== "");
  } catch {
    return []; // it ended just now
  }
}

/** Cgroups of Gantry in any hierarchy: /gantry, /gantry-<root id>, wherever they hang. */
export function cgroups(): string[] {
  const hierarchies = ["/sys/fs/cgroup", ...subdirectories("/sys/fs/cgroup")];
  return hierarchies.flatMap((hierarchy) =>
    subdirectories(hierarchy)
      .filter((path) => basename(path).startsWith("gantry"))
      .map((path) => `cgroup ${path}`),
  );
}

function subdirectories(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
  } catch {
    return []; // no such hierarchy here
  }
}

/** Network namespaces with a name, as `ip netns` shows them. Those pinned elsewhere show up as mounts. */
function pinnedNamespaces(): string[] {
  try {
    return readdirSync("/run/netns").map((name) => `netns ${name}`);
  } catch {
    return []; // nobody ever named one
  }
}

/** Bridges and veths of the host. */
export async function networkLinks(): Promise<string[]> {
  const { stdout } = await exec("ip", ["-o", "link", "show"]);
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)]
    .map(([, name]) => name ?? "")
    .filter((name) => name.startsWith("gnt") || name.startsWith("veth"))
    .map((name) => `link ${name}`);
}

/** Tables of nftables, and the chains that CNI plugins make with iptables. */
export async function nftTables(): Promise<string[]> {
  const { stdout } = await exec("nft", ["-a", "list", "ruleset"], { okCodes: "any" });
  const tables = [...stdout.matchAll(/^table (\S+) (gantry\S*)/gm)].map(
    ([, family, name]) => `nft table ${family} ${name}`,
  );
  const chains = [...stdout.matchAll(/^\s*chain (CNI-(?:DN|SN|[0-9a-f])\S*)/gm)].map(([, name]) => `nft chain ${name}`);
  return [...tables, ...chains];
}
