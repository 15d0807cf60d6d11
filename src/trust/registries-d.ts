/** containers-registries.d(5): where the GPG signatures of a registry's images are kept. One file of ours for each scope. */
import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeDurably } from "../image/durable.ts";
import { GantryError } from "../system/errors.ts";

function fileOf(etc: string, scope: string): string {
  const readable = scope.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 60);
  const hash = createHash("sha256").update(scope).digest("hex").slice(0, 8);
  return join(etc, "registries.d", `gantry-trust-${readable}-${hash}.yaml`);
}

/** @param url https:, http: or file:. @throws GantryError usage; and what writing throws */
export async function writeLookaside(etc: string, scope: string, url: string): Promise<void> {
  const file = fileOf(etc, scope);
  await mkdir(join(etc, "registries.d"), { recursive: true, mode: 0o755 });
  const text = `# Written by 'gantry trust add'; 'gantry trust rm' removes it.\n${stringify({ docker: { [scope]: { lookaside: url } } }, { lineWidth: 0 })}`;
  await writeDurably(file, text, `${file}.new`);
}

export async function removeLookaside(etc: string, scope: string): Promise<void> {
  await rm(fileOf(etc, scope), { force: true });
}

/** @throws GantryError usage for what is no place of signatures */
export function parseLookaside(text: string, scope: string): string {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    url = undefined;
  }
  if (url === undefined || !["https:", "http:", "file:"].includes(url.protocol)) {
    throw new GantryError("usage", `--lookaside '${text}' is no URL of a place for signatures`, {
      hint: "For example https://registry.example.com/signatures or file:///srv/signatures.",
    });
  }
  if (scope.startsWith("*")) {
    throw new GantryError("usage", "--lookaside needs a prefix without a wildcard", {
      hint: "registries.d knows no wildcards: add a rule for each registry.",
    });
  }
  return text;
}
