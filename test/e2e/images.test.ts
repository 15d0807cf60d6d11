import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { podText } from "./harness/sketch.ts";
import { type CliResult, type TestHost, testHost } from "./harness.ts";

/** Every kind of image, made by the tools that others use, through the real command line, with a daemon and without. */
let host: TestHost;
let work: string;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "images-"));
  makeInputs();
  host = testHost();
  await host.startDaemon();
});
afterAll(async () => {
  await host.dispose();
  rmSync(work, { recursive: true });
});

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { cwd: work, stdio: ["ignore", "ignore", "pipe"] });
}

function makeInputs(): void {
  const rootfs = join(work, "rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  cpSync("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const name of ["sh", "cat", "sleep", "echo"]) symlinkSync("busybox", join(rootfs, "bin", name));
  writeFileSync(join(rootfs, "word"), "made by hand\n");
  run("tar", "-C", rootfs, "-cf", "rootfs.tar", ".");
  run("tar", "-C", rootfs, "-czf", "rootfs.tar.gz", ".");
  run("umoci", "init", "--layout", "layout");
  run("umoci", "new", "--image", "layout:v1");
  run("umoci", "raw", "add-layer", "--image", "layout:v1", "rootfs.tar");
  run(
    "umoci",
    "config",
    "--image",
    "layout:v1",
    "--config.entrypoint",
    "/bin/cat",
    "--config.cmd",
    "/word",
    "--config.env",
    "FROM=layout",
  );
  run("skopeo", "--insecure-policy", "copy", "oci:layout:v1", "oci-archive:oci.tar:v1");
  run("skopeo", "--insecure-policy", "copy", "oci:layout:v1", "docker-archive:docker.tar:some/app:v1");
  run("tar", "-C", "layout", "-cf", "layout.tar", ".");
}

const Listing = z.object({ items: z.array(z.object({ names: z.array(z.string()), digest: z.string() }).loose()) });

async function names(): Promise<string[]> {
  const { stdout } = await host.gantry("image", "ls", "-o", "json");
  return Listing.parse(JSON.parse(stdout)).items.flatMap((image) => image.names);
}

function good(result: CliResult): CliResult {
  expect([result.code, result.stderr.replaceAll(/^.*\.\.\.$/gm, "").trim()]).toEqual([0, ""]);
  return result;
}

describe("import, then run", () => {
  const configured = [["layout"], ["oci.tar"], ["docker.tar"], ["layout.tar"]] as const;
  test.each(configured)("%s: with its configuration", async (file) => {
    const name = `localhost/e2e/${file.replace(".", "-")}:1`;
    good(await host.gantry("image", "import", join(work, file), name));
    expect(await names()).toContain(name);
    host.write("image.yaml", podText("image", { image: name, command: undefined }, { restartPolicy: "Never" }));
    await host.waitPhase("image", "Succeeded");
    expect((await host.gantry("logs", "image")).stdout).toBe("made by hand\n");
    host.remove("image.yaml");
    await host.waitGone("image");
  });

  const plain = [["rootfs"], ["rootfs.tar"], ["rootfs.tar.gz"]] as const;
  test.each(plain)("%s: a plain root file system", async (file) => {
    const name = `localhost/e2e/plain-${file.replaceAll(".", "-")}:1`;
    good(await host.gantry("image", "import", join(work, file), name));
    host.write(
      "image.yaml",
      podText("image", { image: name, command: ["/bin/cat", "/word"] }, { restartPolicy: "Never" }),
    );
    await host.waitPhase("image", "Succeeded");
    expect((await host.gantry("logs", "image")).stdout).toBe("made by hand\n");
    host.remove("image.yaml");
    await host.waitGone("image");
  });

  test("from stdin; a pod that waits for it starts", async () => {
    const name = "localhost/e2e/stdin:1";
    host.write(
      "waiting.yaml",
      podText("waiting", { image: name, command: ["/bin/sleep", "infinity"] }, { terminationGracePeriodSeconds: 0 }),
    );
    await host.waitFor(
      "waiting",
      ({ status }) => /Pull/.test(status.containerStatuses[0]?.state.waiting?.reason ?? ""),
      "waiting for its image",
    );
    good(await host.gantryWith({ input: readFileSync(join(work, "docker.tar")) }, "image", "import", "-", name));
    await host.waitReady("waiting");

    const refused = await host.gantry("image", "rm", name);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("waiting");
    host.remove("waiting.yaml");
    await host.waitGone("waiting");
    good(await host.gantry("image", "rm", name));
    expect(await names()).not.toContain(name);
  });

  test("two at once, of the same and of different content", async () => {
    const results = await Promise.all([
      host.gantry("image", "import", join(work, "docker.tar"), "localhost/e2e/twice:1"),
      host.gantry("image", "import", join(work, "docker.tar"), "localhost/e2e/twice:2"),
      host.gantry("image", "import", join(work, "rootfs"), "localhost/e2e/twice:3"),
    ]);
    for (const result of results) good(result);
    expect(await names()).toEqual(expect.arrayContaining([1, 2, 3].map((n) => `localhost/e2e/twice:${n}`)));
  });
});

describe("what is no image", () => {
  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    ["text", () => file("text", "hello\n"), /image|archive|tar/],
    ["nothing", () => file("nothing", ""), /empty/],
    ["half an archive", () => file("half", readFileSync(join(work, "docker.tar")).subarray(0, 300_000)), /./],
    ["another file", () => "/bin/busybox", /image|archive|tar/],
    ["no file", () => "/nonexistent.tar", /nonexistent\.tar/],
    ["a device", () => "/dev/zero", /./],
  ];
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(work, name), content);
    return join(work, name);
  };
  test.each(cases)("%s", async (_name, source, message) => {
    const before = await names();
    const from = source();
    const { code, stderr } = await host.gantry("image", "import", from, "localhost/e2e/bad:1");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^error: /m);
    expect(stderr).toContain(from);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("fault of Gantry");
    expect(await names()).toEqual(before);
  });

  test("a name that is none", async () => {
    const { code, stderr } = await host.gantry("image", "import", join(work, "docker.tar"), "Not A Name");
    expect([code, stderr]).toEqual([2, expect.stringContaining("Not A Name")]);
  });
  test("removing what is not there", async () => {
    expect((await host.gantry("image", "rm", "localhost/none:1")).code).toBe(3);
    expect((await host.gantry("image", "rm", "localhost/none:1", "--ignore-not-found")).code).toBe(0);
  });
});

test("without a daemon", async () => {
  await using alone = testHost({ withImages: false });
  good(await alone.gantry("image", "import", join(work, "oci.tar"), "localhost/alone:1"));
  expect((await alone.gantry("image", "ls")).stdout).toContain("localhost/alone");
  await alone.startDaemon();
  alone.write(
    "alone.yaml",
    podText("alone", { image: "localhost/alone:1", command: undefined }, { restartPolicy: "Never" }),
  );
  await alone.waitPhase("alone", "Succeeded");
  alone.remove("alone.yaml");
  await alone.waitGone("alone");
  await alone.stopDaemon();
  good(await alone.gantry("image", "rm", "localhost/alone:1"));
  expect((await alone.gantry("image", "ls", "-o", "json")).stdout).not.toContain("localhost/alone");
});
