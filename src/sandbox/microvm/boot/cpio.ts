/** The "new ASCII" cpio format (cpio(5)), which the kernel unpacks as its first root file system. Pure. */
export type CpioEntry =
  | { readonly path: string; readonly type: "directory"; readonly mode: number }
  | { readonly path: string; readonly type: "file"; readonly mode: number; readonly data: Uint8Array }
  | { readonly path: string; readonly type: "link"; readonly target: string }
  | {
      readonly path: string;
      readonly type: "device";
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;

/** All times are 0 and all owners root, so that the same content gives the same bytes. Directories before their files. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => record(index + 1, entry));
  return Buffer.concat([
    ...parts,
    ...record(0, { path: "TRAILER!!!", type: "file", mode: 0, data: new Uint8Array() }, true),
  ]);
}

function record(inode: number, entry: CpioEntry, trailer = false): Uint8Array[] {
  const data =
    entry.type === "file" ? entry.data : entry.type === "link" ? Buffer.from(entry.target) : new Uint8Array();
  const name = Buffer.from(`${entry.path}\0`);
  const [major, minor] = entry.type === "device" ? [entry.major, entry.minor] : [0, 0];
  const links = entry.type === "directory" ? 2 : 1;
  const fields = [inode, trailer ? 0 : modeOf(entry), 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(
    `070701${fields.map((field) => field.toString(16).padStart(8, "0").toUpperCase()).join("")}`,
  );
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function modeOf(entry: CpioEntry): number {
  switch (entry.type) {
    case "directory":
      return S_IFDIR | entry.mode;
    case "file":
      return S_IFREG | entry.mode;
    case "link":
      return S_IFLNK | 0o777;
    case "device":
      return S_IFCHR | entry.mode;
  }
}

/** Everything is aligned to 4 bytes. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
