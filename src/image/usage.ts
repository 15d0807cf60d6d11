import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { StoreUsage } from "./contract.ts";
import { hexOf } from "./disk.ts";
import type { Shelf } from "./shelf.ts";

/** What each image takes on the disk. @throws GantryError state-damaged */
export async function measureUsage(shelf: Shelf): Promise<StoreUsage> {
  await shelf.open();
  const { blobs: dir, dir: storeDir } = shelf.at;
  const records = await shelf.index.read();
  const sizes = new Map<string, number>();
  for (const digest of new Set(records.flatMap(({ blobs }) => blobs)))
    sizes.set(digest, await allocated(join(dir, hexOf(digest))));
  const images = await Promise.all(
    records.map(async (record) => {
      const { digest, names, createdAt, lastUsedAt } = await shelf.image(record);
      const root = await shelf.findRoot(digest);
      // Of a tree we know what it was measured as; an EROFS file is sparse.
      const rootBytes = root === undefined ? 0 : root.type === "tree" ? record.sizeBytes : await allocated(root.path);
      return {
        digest,
        names,
        aliases: [...record.aliases, record.manifest],
        createdAt,
        lastUsedAt,
        imported: record.origins.length === 0,
        rootBytes,
        blobs: record.blobs.map((blob) => ({ digest: blob, bytes: sizes.get(blob) ?? 0 })),
      };
    }),
  );
  const { blocks, bavail, bsize } = await statfs(storeDir);
  return { images, disk: { totalBytes: blocks * bsize, availableBytes: bavail * bsize } };
}

async function allocated(path: string): Promise<number> {
  return await stat(path).then(
    (stats) => stats.blocks * 512,
    () => 0,
  );
}
