import { diskNode, emptyNode, logChardev } from "./args.ts";
import type { Qmp } from "./qmp.ts";

/**
 * Changes what is behind devices that the guest has had since its boot: so a clone of a template needs no hot-plug,
 * and works on machines without it.
 */

/** Name of the node with the file of `image` in a slot. */
const imageNode = (slot: number): string => `image${slot}`;

/** Puts an image file behind a disk. The file must be as large as the empty one: the guest does not look again. */
export async function insertImage(qmp: Qmp, slot: number, file: string): Promise<void> {
  const node = imageNode(slot);
  await qmp.run("blockdev-add", {
    driver: "file",
    "node-name": node,
    filename: file,
    "read-only": true,
    "auto-read-only": false,
    locking: "off",
  });
  await reopen(qmp, slot, node);
}

/** Takes it away again. Of a disk that has none, nothing is taken. */
export async function ejectImage(qmp: Qmp, slot: number): Promise<void> {
  await reopen(qmp, slot, emptyNode(slot));
  await qmp.run("blockdev-del", { "node-name": imageNode(slot) });
}

async function reopen(qmp: Qmp, slot: number, below: string): Promise<void> {
  const options = [{ driver: "raw", "node-name": diskNode(slot), file: below, "read-only": true }];
  await qmp.run("blockdev-reopen", { options });
}

/** From now on what comes from a log port is appended to `path`. */
export async function logTo(qmp: Qmp, port: number, path: string): Promise<void> {
  const data = { type: "file", data: { out: path, append: true } };
  await qmp.run("chardev-change", { id: logChardev(port), backend: data });
}
