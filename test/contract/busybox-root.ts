import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../src/system/exec.ts";

/** The root of a small image in a new directory below `directory`: busybox and a few users. */
export async function busyboxRoot(directory: string): Promise<string> {
  const root = join(directory, "busybox");
  await mkdir(join(root, "bin"), { recursive: true });
  await Promise.all(["etc", "tmp", "root", "home/app"].map((name) => mkdir(join(root, name), { recursive: true })));
  await exec("chmod", ["1777", join(root, "tmp")]);
  await cp("/bin/busybox", join(root, "bin", "busybox"));
  const { stdout } = await exec("/bin/busybox", ["--list"]);
  const names = stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
  await Promise.all(names.map((name) => symlink("busybox", join(root, "bin", name))));
  await writeFile(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\napp:x:1001:\nextra:x:2000:app\n");
  await writeFile(join(root, "not-executable"), "#!/bin/sh\n", { mode: 0o644 });
  await exec("chown", ["-R", "1000:1001", join(root, "home/app")]);
  return root;
}
