import { readdirSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BOOT_CACHE } from "../support/boot-cache.ts";
import { containerOf, eventually, type Fields, FOREVER, isReady, podText, qemuOf, shell, testHost } from "./harness.ts";

const MICROVM = { runtimeClassName: "microvm" };

/** The kernel that the set-up fetches, as a user's own: by its path. */
function ownKernel(): string {
  const id = readdirSync(BOOT_CACHE)
    .filter((name) => name.startsWith("linux-image-"))
    .sort()
    .at(-1);
  if (id === undefined) throw new Error("no kernel was fetched");
  const boot = join(BOOT_CACHE, id, "boot");
  const image = readdirSync(boot).find((name) => name.startsWith("vmlinuz-"));
  if (image === undefined) throw new Error(`no kernel in ${boot}`);
  return join(boot, image);
}

test("isolation is chosen per pod: runs, is told apart, is restarted, changed and leaves nothing", async () => {
  await using host = testHost();
  await host.startDaemon({ args: ["--set", "microvm.memory=160Mi"] });
  const script = `echo "on $(uname -r)"; ${FOREVER}`;
  const write = (spec: Fields, annotations: Fields = {}, text = script): void =>
    host.write("vm.yaml", podText("vm", [shell("app", text)], spec, { annotations }));
  const inside = async (...command: string[]): Promise<string> =>
    (await host.gantry("exec", "vm", "--", ...command)).stdout.trim();
  const wide = async (): Promise<string> => (await host.gantry("status", "-o", "wide")).stdout;

  write(MICROVM);
  host.write("ns.yaml", podText("ns", [shell("app", script)]));
  const first = await host.waitReady("vm");
  await host.waitReady("ns");
  const kernel = await inside("uname", "-r");
  expect(kernel).not.toBe(release());
  expect((await host.gantry("exec", "ns", "--", "uname", "-r")).stdout.trim()).toBe(release());
  expect((await host.gantry("logs", "vm")).stdout).toBe(`on ${kernel}\n`);
  expect((await host.gantry("exec", "vm", "--", "sh", "-c", "exit 7")).code).toBe(7);

  // How it runs, and why.
  expect(await wide()).toMatch(new RegExp(`^vm .* microvm +(tcg|kvm), (clone|cold), \\d+ ms +${kernel} `, "m"));
  expect(await wide()).toMatch(/^ns .* namespace +<none> +<none> /m);
  expect(await wide()).toMatch(/^Micro-VMs:\n {2}(tcg|kvm): \w/m);
  const described = (await host.gantry("describe", "vm")).stdout;
  expect(described).toMatch(
    /memory 160 MiB\n +vcpus 1\n +accelerator (tcg|kvm) \(.+\)\n +machine (q35|microvm)\n +boot /,
  );

  // Its app is killed: that container alone is started again, in the same VM.
  const qemu = qemuOf(first);
  await inside("kill", "1");
  const restarted = await host.waitFor("vm", (pod) => containerOf(pod, "app").restartCount > 0, "a restart");
  expect(qemuOf(restarted)).toBe(qemu);
  await host.waitReady("vm");

  // Another command: another container in the same VM.
  write(MICROVM, {}, `echo changed; ${FOREVER}`);
  const id = containerOf(restarted, "app").containerID;
  const changed = await host.waitFor(
    "vm",
    (pod) => containerOf(pod, "app").ready && containerOf(pod, "app").containerID !== id,
    "the new container",
  );
  expect(qemuOf(changed)).toBe(qemu);
  expect(changed.metadata.uid).toBe(first.metadata.uid);

  // Another machine: another VM. A mistake in it changes nothing.
  write(MICROVM, { "gantry.dev/vm-memory": "64Mi" });
  const said = async (): Promise<boolean> => (await host.gantry("status")).stdout.includes('"64Mi" must be a quantity');
  await eventually(said, { what: "the mistake in status", explain: () => host.explain() });
  expect(qemuOf(await host.waitReady("vm"))).toBe(qemu);
  write(MICROVM, { "gantry.dev/vm-memory": "200Mi", "gantry.dev/vm-vcpus": "2", "gantry.dev/vm-kernel": ownKernel() });
  await host.waitFor(
    "vm",
    (pod) => pod.metadata.uid !== first.metadata.uid && containerOf(pod, "app").ready,
    "another VM",
  );
  expect(await inside("nproc")).toBe("2");
  expect((await host.gantry("describe", "vm")).stdout).toMatch(/memory 200 MiB\n +vcpus 2\n/);
  expect(await inside("uname", "-r")).toBe(kernel);

  // Another class.
  write({});
  await host.waitFor("vm", (pod) => pod.spec["runtimeClassName"] === undefined && isReady(pod), "no VM");
  expect(await inside("uname", "-r")).toBe(release());
});

test("settings and annotations that will not do are refused, and a host that lacks something says what", async () => {
  await using host = testHost();
  const bad = await host.gantry("daemon", "--set", "microvm.machine=q53", "--manifests", host.manifests);
  expect(bad.code).toBe(1);
  expect(bad.stderr).toContain("microvm.machine");
  const settings = (await host.gantryWith({ env: { GANTRY_MICROVM_WARM: "2Gi/4" } }, "config")).stdout;
  expect(settings).toMatch(/^microvm\.warm +2Gi\/4 +GANTRY_MICROVM_WARM$/m);
  expect(settings).toMatch(/^microvm\.templates\.keep +4 +default$/m);

  await host.startDaemon({ args: ["--set", `microvm.qemu=${join(host.directory, "none")}`] });
  const pod = (name: string, annotations: Fields = {}): string =>
    podText(name, [shell("app", FOREVER)], MICROVM, { annotations });
  host.write("waits.yaml", pod("waits"));
  host.write("ns.yaml", podText("ns", [shell("app", FOREVER)]));
  await host.waitReady("ns");
  const waiting = await host.waitFor("waits", ({ status }) => status.message !== undefined, "a reason");
  expect(waiting.status.phase).toBe("Pending");
  expect(waiting.status.message).toMatch(/need QEMU, and there is none at .*Correct microvm\.qemu/);
  const found = JSON.parse(
    (await host.gantryWith({ env: { GANTRY_MICROVM_QEMU: "/none" } }, "doctor", "-o", "json")).stdout,
  );
  expect(found.checks).toContainEqual(expect.objectContaining({ name: "QEMU", status: "warning" }));

  host.writeInPlace("bad.yaml", pod("bad", { "gantry.dev/vm-cpus": "2" }));
  const { code, stdout, stderr } = await host.gantry("validate", join(host.manifests, "bad.yaml"));
  expect(code).toBe(1);
  expect(stdout + stderr).toMatch(/bad\.yaml:7:\d+: .*unknown annotation 'gantry\.dev\/vm-cpus'/);
  expect(stdout + stderr).toContain("did you mean 'gantry.dev/vm-vcpus'?");
});
