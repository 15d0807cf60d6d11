import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { exec } from "../../src/system/exec.ts";
import { leftoversSince, takeInventory } from "./leftovers.ts";
import { removeTree } from "./remove-tree.ts";

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

test("each kind of thing that a test may leave behind is found and named", async () => {
  const directory = mkdtempSync(join(tmpdir(), "left-"));
  undo.push(() => removeTree(directory));
  const id = basename(directory).slice(-6).toLowerCase();
  const before = await takeInventory();

  const mount = join(directory, "m");
  mkdirSync(mount);
  await exec("mount", ["-t", "tmpfs", "tmpfs", mount]);
  await exec("ip", ["netns", "add", `left-${id}`]);
  undo.push(() => exec("ip", ["netns", "delete", `left-${id}`]));
  await exec("ip", ["link", "add", `gnt${id}`, "type", "bridge"]);
  undo.push(() => exec("ip", ["link", "delete", `gnt${id}`]));
  await exec("nft", ["add", "table", "inet", `gantry${id}`]);
  undo.push(() => exec("nft", ["delete", "table", "inet", `gantry${id}`]));
  const cgroup = join(existsSync("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup", `gantry-${id}`);
  mkdirSync(cgroup);
  undo.push(() => rmdirSync(cgroup));
  const holder = spawn("sleep", ["1000"], { argv0: "conmon", stdio: "ignore" });
  undo.push(() => holder.kill("SIGKILL"));

  const left = await leftoversSince(before, 0);
  expect(left).toEqual(
    expect.arrayContaining([
      `mount ${mount}`,
      `netns left-${id}`,
      `link gnt${id}`,
      `nft table inet gantry${id}`,
      `cgroup ${cgroup}`,
      `process ${holder.pid}: conmon 1000`,
    ]),
  );
});
