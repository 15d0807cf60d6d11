import { spawnSync } from "node:child_process";
import { exec } from "../../src/system/exec.ts";

/** `podman kube play` of the same file, where podman is installed. */
export class Podman {
  readonly #image: string;

  private constructor(image: string) {
    this.#image = image;
  }

  /** @returns undefined when podman is not installed or can't run pods here; `said` tells why */
  static open(rootfs: string, image: string, said: (why: string) => void): Podman | undefined {
    const version = spawnSync("podman", ["--version"], { encoding: "utf8" });
    if (version.status !== 0) {
      said("podman is not installed: no comparison with it");
      return undefined;
    }
    const imported = spawnSync(
      "sh",
      [
        "-c",
        `tar -C "$1" -c . | podman import -q -c "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin" - "$2"`,
        "sh",
        rootfs,
        image,
      ],
      {
        encoding: "utf8",
      },
    );
    if (imported.status !== 0) {
      said(`podman can't import the sample image: ${imported.stderr.trim()}`);
      return undefined;
    }
    said(`compared with ${version.stdout.trim()}`);
    return new Podman(image);
  }

  /** @returns ms from the start of `podman kube play FILE` to its end: the pod runs */
  async up(file: string): Promise<number> {
    const begun = performance.now();
    await exec("podman", ["kube", "play", "--quiet", file]);
    return performance.now() - begun;
  }

  async down(file: string): Promise<void> {
    await exec("podman", ["kube", "down", file], { okCodes: "any" });
  }

  dispose(): void {
    spawnSync("podman", ["rmi", "--force", this.#image], { stdio: "ignore" });
  }
}
