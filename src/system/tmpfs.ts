import { isGantryError } from "./errors.ts";
import { exec } from "./exec.ts";

export interface TmpfsOptions {
  /** Octal mode of the root directory. */
  readonly mode: string;
  readonly sizeBytes?: number | undefined;
  /** Keep it out of the swap space, where the kernel can (6.4 and later). */
  readonly noSwap?: boolean;
  /** Mounts below it show up in no other mount namespace. */
  readonly private?: boolean;
  /** Without nodev and nosuid: a user namespace that has part of it mounted may not let go of such flags, and runc tries to. */
  readonly plain?: boolean;
}

/**
 * Mounts a tmpfs on `dir`, which must exist.
 * @throws GantryError command-failed
 */
export async function mountTmpfs(dir: string, options: TmpfsOptions, signal: AbortSignal): Promise<void> {
  const flags = [
    ...(options.plain === true ? [] : ["nodev", "nosuid"]),
    `mode=${options.mode}`,
    ...(options.sizeBytes === undefined ? [] : [`size=${options.sizeBytes}`]),
  ];
  const propagation = options.private === true ? ["--make-private"] : [];
  const mount = (extra: readonly string[]): Promise<unknown> =>
    exec("mount", [...propagation, "-t", "tmpfs", "-o", [...flags, ...extra].join(","), "--", "tmpfs", dir], {
      signal,
    });
  if (options.noSwap !== true) {
    await mount([]);
    return;
  }
  await mount(["noswap"]).catch(async (error: unknown) => {
    if (!isGantryError(error, "command-failed")) throw error;
    await mount([]);
  });
}
