import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Dirs } from "./dirs.ts";
import { isAbsent, makeDirectory, writeAtomically } from "./files.ts";
import type { OciSeccomp, OciSpec } from "./oci/types.ts";
import type { Runtime } from "./runtime.ts";

/** crun(1): the filter as the kernel takes it, base64, instead of the profile. A crun that does not know it compiles. */
const ANNOTATION = "run.oci.seccomp_bpf_data";

/**
 * Keeps what crun made of a seccomp profile. Compiling ours costs it 11 of the 22 ms of CPU time that a container's
 * creation takes, for the same result each time; it leaves that result in its state directory.
 */
export interface SeccompCache {
  /** The spec with the compiled filter added, where there is one already. */
  use(spec: OciSpec, runtime: Runtime): OciSpec;
  /** Keeps the filter of a container that was just created. Never fails: without it we are slower, that is all. */
  keep(spec: OciSpec, runtime: Runtime, containerId: string): Promise<void>;
}

export function createSeccompCache(dirs: Dirs): SeccompCache {
  const compiled = new Map<string, string>();
  const directory = join(dirs.run, "seccomp");

  const keyOf = (seccomp: OciSeccomp, runtime: Runtime): string => {
    const { mtimeMs, size } = statSync(runtime.path);
    return createHash("sha256")
      .update(JSON.stringify([seccomp, runtime.path, mtimeMs, size]))
      .digest("hex");
  };

  const load = (key: string): string | undefined => {
    const known = compiled.get(key);
    if (known !== undefined) return known;
    const filter = readFilter(join(directory, key), "utf8");
    if (filter !== undefined) compiled.set(key, filter);
    return filter;
  };

  return {
    use(spec, runtime) {
      const { seccomp } = spec.linux;
      if (seccomp === undefined || runtime.name !== "crun") return spec;
      const filter = load(keyOf(seccomp, runtime));
      return filter === undefined ? spec : { ...spec, annotations: { ...spec.annotations, [ANNOTATION]: filter } };
    },
    async keep(spec, runtime, containerId) {
      const { seccomp } = spec.linux;
      if (seccomp === undefined || runtime.name !== "crun" || spec.annotations?.[ANNOTATION] !== undefined) return;
      const filter = readFilter(join(runtime.root, containerId, "seccomp.bpf"), "base64");
      if (filter === undefined) return;
      const key = keyOf(seccomp, runtime);
      if (compiled.has(key)) return; // another container, created at the same time, has brought it
      compiled.set(key, filter);
      try {
        await makeDirectory(directory, 0o700);
        await writeAtomically(join(directory, key), filter, 0o600);
      } catch {
        // A full disk: it stays in memory only.
      }
    },
  };
}

/** An instruction of BPF has 8 bytes; anything else is not a filter. */
function readFilter(path: string, encoding: "utf8" | "base64"): string | undefined {
  try {
    const text = readFileSync(path).toString(encoding);
    const bytes = Buffer.from(text, "base64").length;
    return bytes > 0 && bytes % 8 === 0 ? text : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
