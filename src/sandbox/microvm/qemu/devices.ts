import { passFile } from "../jail/pass.ts";
import {
  diskNode,
  diskSet,
  emptyNode,
  fileOf,
  HOT_PORT,
  logChardev,
  logSet,
  SHARE_CHARDEV,
  SHARE_TAG,
} from "./args.ts";
import type { Qmp } from "./qmp.ts";

/**
 * Changes what is behind devices that the guest has had since its boot: so a clone of a template needs no hot-plug,
 * and works on machines without it. The files are opened by the VM's jailer; QEMU gets them as descriptors.
 */

/** How a running QEMU is told. */
export interface Controls {
  readonly qmp: Qmp;
  /** Path of the jailer's socket. */
  readonly jailer: string;
}

/** Name of the node with the file of `image` in a slot. */
const imageNode = (slot: number): string => `image${slot}`;

/** Puts an image file behind a disk. The file must be as large as the empty one: the guest does not look again. */
export async function insertImage({ qmp, jailer }: Controls, slot: number, file: string): Promise<void> {
  const node = imageNode(slot);
  const set = diskSet(slot);
  await passFile(jailer, { set, mode: "read", path: file });
  await qmp.run("blockdev-add", {
    driver: "file",
    "node-name": node,
    filename: fileOf(set),
    "read-only": true,
    "auto-read-only": false,
    locking: "off",
  });
  await qmp.run("remove-fd", { "fdset-id": set }); // it has one of its own now
  await reopen(qmp, slot, node);
}

/** Takes it away again. Of a disk that has none, nothing is taken. */
export async function ejectImage(qmp: Qmp, slot: number): Promise<void> {
  await reopen(qmp, slot, emptyNode(slot));
  await qmp.run("blockdev-del", { "node-name": imageNode(slot) });
}

/** Adds the device of hostPath volumes. The guest finds it some ms later. */
export async function addShare(qmp: Qmp): Promise<void> {
  await qmp.run("device_add", {
    driver: "vhost-user-fs-pci",
    id: "share",
    bus: HOT_PORT,
    chardev: SHARE_CHARDEV,
    tag: SHARE_TAG,
  });
}

async function reopen(qmp: Qmp, slot: number, below: string): Promise<void> {
  const options = [{ driver: "raw", "node-name": diskNode(slot), file: below, "read-only": true }];
  await qmp.run("blockdev-reopen", { options });
}

/** From now on what comes from a log port is appended to `path`. */
export async function logTo({ qmp, jailer }: Controls, port: number, path: string): Promise<void> {
  const set = logSet(port);
  await passFile(jailer, { set, mode: "append", path });
  const data = { type: "file", data: { out: fileOf(set), append: true } };
  await qmp.run("chardev-change", { id: logChardev(port), backend: data });
  await qmp.run("remove-fd", { "fdset-id": set });
}
