import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Registry } from "./registry.ts";

/** An OCI layout with the images "one" and "two", which share their first layer, and with "big" of 3 MiB more. */
export function makeImages(dir: string): string {
  const layout = join(dir, "layout");
  const tree = join(dir, "tree");
  mkdirSync(join(tree, "bin"), { recursive: true });
  cpSync("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of ["sh", "sleep", "cat", "echo"]) symlinkSync("busybox", join(tree, "bin", name));
  for (const name of ["one", "two"]) writeFileSync(join(tree, name), `${name}\n`);
  writeFileSync(join(tree, "noise"), randomBytes(3 * 1024 * 1024));
  const layers = { base: ["bin"], one: ["one"], two: ["two"], noise: ["noise"] };
  for (const [name, members] of Object.entries(layers)) {
    execFileSync("tar", ["-C", tree, "-cf", join(dir, `${name}.tar`), ...members]);
  }
  umoci("init", "--layout", layout);
  image(dir, layout, "one", ["base", "one"]);
  image(dir, layout, "two", ["base", "two"]);
  image(dir, layout, "big", ["base", "one", "noise"]);
  return layout;
}

function image(dir: string, layout: string, tag: string, layers: readonly string[]): void {
  umoci("new", "--image", `${layout}:${tag}`);
  for (const layer of layers) umoci("raw", "add-layer", "--image", `${layout}:${tag}`, join(dir, `${layer}.tar`));
  umoci(
    "config",
    "--image",
    `${layout}:${tag}`,
    "--config.cmd",
    "/bin/cat",
    "--config.cmd",
    `/${tag === "two" ? "two" : "one"}`,
  );
}

function umoci(...args: readonly string[]): void {
  execFileSync("umoci", args, { stdio: ["ignore", "ignore", "pipe"] });
}

interface Manifest {
  readonly digest: string;
  readonly size: number;
  readonly layers: readonly string[];
}

/** The manifest that the layout has under a tag. */
export function manifestOf(layout: string, tag: string): Manifest {
  const index: { manifests: { digest: string; size: number; annotations: Record<string, string> }[] } = JSON.parse(
    readFileSync(join(layout, "index.json"), "utf8"),
  );
  const entry = index.manifests.find((one) => one.annotations["org.opencontainers.image.ref.name"] === tag);
  if (entry === undefined) throw new Error(`no image ${tag}`);
  const blob = join(layout, "blobs/sha256", entry.digest.slice(7));
  const manifest: { layers: { digest: string }[] } = JSON.parse(readFileSync(blob, "utf8"));
  return { digest: entry.digest, size: entry.size, layers: manifest.layers.map(({ digest }) => digest) };
}

/** Makes an index of platforms out of images that the repository has. @returns its digest */
export async function pushIndex(
  registry: Registry,
  repository: string,
  tag: string,
  platforms: Readonly<Record<string, Manifest>>,
): Promise<string> {
  const manifests = Object.entries(platforms).map(([architecture, { digest, size }]) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest,
    size,
    platform: { os: "linux", architecture },
  }));
  const type = "application/vnd.oci.image.index.v1+json";
  const answer = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": type },
    body: JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.headers.get("docker-content-digest") ?? "";
}
