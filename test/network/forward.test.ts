import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { exec } from "../../src/system/exec.ts";

const child = fileURLToPath(new URL("forward.child.ts", import.meta.url));

/** On a host of its own, as far as the network goes, after these iptables commands. */
async function onHost(...rules: string[]): Promise<unknown> {
  const script = 'mount -t sysfs sysfs /sys && exec "$@"';
  const { stdout } = await exec("unshare", [
    "--net",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    script,
    "sh",
    process.execPath,
    child,
    ...rules,
  ]);
  return JSON.parse(stdout);
}

const fine = { reachesOut: true, isReached: true, restored: true, traces: [] };

test("a firewall that forwards needs no rule", async () =>
  expect(await onHost("-P FORWARD ACCEPT")).toEqual({ ...fine, added: 0 }));
test("one that drops gets two, and loses them again", async () =>
  expect(await onHost("-P FORWARD DROP")).toEqual({ ...fine, added: 2 }));
test("so does Docker's", async () =>
  expect(
    await onHost("-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"),
  ).toEqual({ ...fine, added: 2 }));
test("one that drops what comes to the host lets questions for names through", async () =>
  expect(
    await onHost(
      "-A INPUT -p tcp --dport 1:65535 -j ACCEPT",
      "-A INPUT -m state --state ESTABLISHED -j ACCEPT",
      "-P INPUT DROP",
    ),
  ).toEqual({ ...fine, added: 2 }));
