import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Runs the real set-up in a mount namespace of its own, where tools can be hidden without harm. */
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "setup-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Change {
  readonly hide?: readonly string[];
  readonly osRelease?: string;
  readonly asNobody?: boolean;
}

function runSetup({ hide = [], osRelease, asNobody = false }: Change): { code: number | null; text: string } {
  const script = ["set -e", ...hide.map((path) => `mount --bind /dev/null ${path}`)];
  if (osRelease !== undefined) {
    writeFileSync(join(directory, "os-release"), osRelease);
    script.push(`mount --bind ${join(directory, "os-release")} /etc/os-release`);
  }
  const as = asNobody
    ? "setpriv --reuid 65534 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search "
    : "";
  script.push(`exec ${as}${process.execPath} src/setup/setup.ts`);
  const run = spawnSync("unshare", ["--mount", "sh", "-c", script.join("\n")], { encoding: "utf8" });
  return { code: run.status, text: run.stdout + run.stderr };
}

test("says nothing and does nothing where all is there", () => {
  expect(runSetup({})).toEqual({ code: 0, text: "" });
});

test("without root and with a tool missing it says what to install and stops", () => {
  const { code, text } = runSetup({ hide: ["/usr/bin/umoci"], asNobody: true });
  expect(code).toBe(1);
  expect(text).toContain("these tools are missing, and it takes root to install packages");
  expect(text).toContain("umoci        0.4.7 or newer: unpacks images");
  expect(text).toContain("apt-get install --no-install-recommends umoci");
});

test("on another distribution it gives that one's command and stops", () => {
  const { code, text } = runSetup({
    hide: ["/usr/bin/crun", "/usr/sbin/nft"],
    osRelease: 'ID=fedora\nVERSION_ID="42"\n',
  });
  expect(code).toBe(1);
  expect(text).toContain("this is not a Debian system");
  expect(text).toContain("dnf install crun nftables");
});

test("what only micro-VMs need stops nothing where it can't be installed", () => {
  const { code, text } = runSetup({ hide: ["/usr/bin/qemu-system-x86_64"], osRelease: "ID=fedora\n" });
  expect(code).toBe(0);
  expect(text).toContain("qemu-system-x86_64 7.2 or newer: runs micro-VMs");
  expect(text).toContain("only micro-VM pods need them and wait");
});

test("without root and with everything there it asks for root", () => {
  const { code, text } = runSetup({ asNobody: true });
  expect(code).toBe(1);
  expect(text).toContain("Run it as root");
});
