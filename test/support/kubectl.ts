import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../src/system/exec.ts";

/** The kubectl of this machine; it need not have one. */
export const KUBECTL = "/usr/bin/kubectl";

export interface Kubectl {
  /** "kubectl 1.32"; also says which of the two that tests want is not to be had here. */
  readonly title: string;
  readonly path: string;
  readonly minor: number;
}

/** The newest that knows neither WebSocket nor validation by the server. */
const LAST_OLD = 24;

/**
 * What tests run with: a new kubectl and an old one, Debian 12's. On a machine that has only one of them the titles of
 * the tests say so; on one that has none there is nothing to run.
 */
export async function kubectls(): Promise<Kubectl[]> {
  const paths = [existsSync(KUBECTL) ? KUBECTL : undefined, await debianKubectl()];
  const found = new Map<number, string>();
  for (const path of paths) if (path !== undefined) found.set(await minorOf(path), path);
  const minors = [...found.keys()];
  const lacking = [
    minors.some((minor) => minor > LAST_OLD) ? "" : " (there is no newer one on this machine)",
    minors.some((minor) => minor <= LAST_OLD) ? "" : " (there is no older one on this machine)",
  ].join("");
  return [...found].map(([minor, path]) => ({ title: `kubectl 1.${minor}${lacking}`, path, minor }));
}

async function minorOf(path: string): Promise<number> {
  const { stdout } = await exec(path, ["version", "--client", "-o", "json"]);
  const { clientVersion } = JSON.parse(stdout);
  return Number.parseInt(clientVersion.minor, 10);
}

/**
 * The kubectl of this Debian's archive: 1.20 in Debian 12, which speaks SPDY only. Unpacked, not installed: the machine
 * may have another. @returns undefined where there is no such package
 */
export async function debianKubectl(): Promise<string | undefined> {
  const home = join(tmpdir(), "gantry-test-kubectl");
  const kubectl = join(home, "usr/bin/kubectl");
  if (existsSync(kubectl)) return kubectl;
  if (!existsSync("/usr/bin/apt-get")) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "kubectl-"));
  try {
    await chmod(directory, 0o755); // apt's own user looks into it
    await exec("apt-get", ["download", "-q", "kubernetes-client"], { cwd: directory, timeoutMs: 120_000 });
    const archive = (await readdir(directory)).find((name) => name.endsWith(".deb")) ?? "";
    const unpacked = join(directory, "unpacked");
    await mkdir(unpacked);
    await exec("dpkg-deb", ["-x", join(directory, archive), unpacked]);
    // Another test file may have been faster.
    await rename(unpacked, home).catch(() => {});
    return kubectl;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export interface LoopbackPort {
  /** http://127.0.0.1:… */
  readonly url: string;
  close(): Promise<void>;
}

/** A port before a unix socket, for clients that know no such sockets. */
export async function loopbackPort(socketPath: () => string): Promise<LoopbackPort> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const inner = connect(socketPath());
    for (const end of [socket, inner]) {
      sockets.add(end);
      end.on("error", () => {});
      end.on("close", () => {
        sockets.delete(end);
        socket.destroy();
        inner.destroy();
      });
    }
    socket.pipe(inner).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
