import { join, resolve } from "node:path";

/** Where things live. Every path that Gantry owns comes from here. */
export interface Paths {
  /** The directory given with --root, or "/" for the system-wide layout. */
  readonly root: string;
  /**
   * Six hex digits that tell roots apart in names that are global to the kernel (bridges, nft tables, cgroups).
   * Empty for the system-wide layout.
   */
  readonly rootId: string;
  /** config.yaml, manifests/, cni/net.d/, trust. */
  readonly etc: string;
  /** Survives a reboot: images, volumes, state.db. */
  readonly lib: string;
  /** Is gone after a reboot, or stale if the root is on a disk: socket, netns, bundles. */
  readonly run: string;
  /** <ns>_<name>_<uid>/<container>/<n>.log */
  readonly podLogs: string;
  readonly configFile: string;
  readonly manifests: string;
  readonly socket: string;
  readonly lockFile: string;
  readonly database: string;
  readonly images: string;
  /** Per-pod data that outlives a container: volumes, hosts files. <lib>/pods/<uid>/ */
  readonly pods: string;
}

/**
 * The layout under `root`. Without one: /etc/gantry, /var/lib/gantry, /run/gantry, /var/log/pods.
 * With one, the same four below it: etc/, lib/, run/, log/pods/.
 */
export function layout(root?: string): Paths {
  const base = root === undefined ? "/" : resolve(root);
  const system = base === "/";
  const etc = system ? "/etc/gantry" : join(base, "etc");
  const lib = system ? "/var/lib/gantry" : join(base, "lib");
  const run = system ? "/run/gantry" : join(base, "run");
  let rootId = system ? "" : undefined;
  return {
    root: base,
    // Only when asked for, as node:crypto takes 8 ms: most commands of the CLI ask the daemon and need no more than its socket.
    get rootId() {
      rootId ??= process.getBuiltinModule("node:crypto").createHash("sha256").update(base).digest("hex").slice(0, 6);
      return rootId;
    },
    etc,
    lib,
    run,
    podLogs: system ? "/var/log/pods" : join(base, "log", "pods"),
    configFile: join(etc, "config.yaml"),
    manifests: join(etc, "manifests"),
    socket: join(run, "gantry.sock"),
    lockFile: join(run, "gantry.pid"),
    database: join(lib, "state.db"),
    images: join(lib, "images"),
    pods: join(lib, "pods"),
  };
}
