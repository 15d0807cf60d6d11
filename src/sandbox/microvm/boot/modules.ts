import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { GantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";

export interface KernelModule {
  readonly name: string;
  /** The plain ELF file, decompressed. */
  readonly data: Buffer;
}

/** File names end so; what each is packed with. */
const SUFFIX = /\.ko(\.xz|\.gz|\.zst)?$/;

/**
 * Reads `wanted` and all that they need, in an order in which they can be loaded.
 *
 * What a module needs is read from the module itself (`depends=` in its .modinfo section, as depmod does): a kernel
 * that was unpacked but never installed has no modules.dep. Names that are built into the kernel are skipped.
 * @param modules …/lib/modules/<release>
 * @throws GantryError host-unsupported when the kernel has a module neither as a file nor built in
 */
export async function readModules(modules: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const files = new Map<string, string>();
  for (const path of await readdir(modules, { recursive: true })) {
    if (SUFFIX.test(path)) files.set(normalise(basename(path).replace(SUFFIX, "")), join(modules, path));
  }
  const builtIn = new Set(
    (await readFile(join(modules, "modules.builtin"), "utf8"))
      .split("\n")
      .map((line) => normalise(basename(line, ".ko"))),
  );
  const done = new Map<string, KernelModule>();
  const visit = async (name: string): Promise<void> => {
    if (done.has(name) || builtIn.has(name)) return;
    const file = files.get(name);
    if (file === undefined) {
      throw new GantryError("host-unsupported", `the kernel in ${modules} has no module ${name}`, {
        hint: "Micro-VMs need a kernel with virtio, overlayfs and EROFS, such as Debian's linux-image-cloud-amd64.",
      });
    }
    const data = await unpack(file);
    for (const needed of dependencies(data)) await visit(needed);
    done.set(name, { name, data });
  };
  for (const name of wanted) await visit(normalise(name));
  return [...done.values()];
}

/** Module names are written with "-" or "_"; the kernel takes them for the same. */
function normalise(name: string): string {
  return name.replaceAll("-", "_");
}

function dependencies(module: Buffer): string[] {
  const key = Buffer.from("\0depends=");
  const start = module.indexOf(key);
  if (start < 0) return [];
  const from = start + key.length;
  return module.toString("latin1", from, module.indexOf(0, from)).split(",").filter(Boolean).map(normalise);
}

async function unpack(file: string): Promise<Buffer> {
  const data = await readFile(file);
  if (file.endsWith(".gz")) return promisify(gunzip)(data);
  if (file.endsWith(".zst")) return promisify(zstdDecompress)(data);
  if (!file.endsWith(".xz")) return data;
  const { stdout } = await exec("sh", ["-c", 'xz -dc -- "$1" | base64 -w0', "sh", file], { maxOutputBytes: 64 << 20 });
  return Buffer.from(stdout, "base64");
}
