import { GantryError } from "../../system/errors.ts";
import type { ContainerUser } from "../driver.ts";
import { readTail } from "./files.ts";
import type { OciUser } from "./oci/types.ts";
import { resolveInRoot } from "./root-path.ts";

/** Larger than any real /etc/passwd; what an image may make us read into memory. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

export interface ResolvedUser {
  readonly user: OciUser;
  readonly home: string;
}

/** Looks the user up in the image's /etc/passwd and /etc/group. @throws GantryError image-invalid for an unknown name */
export async function resolveUser(rootfs: string, user: ContainerUser): Promise<ResolvedUser> {
  const passwd = parsePasswd((await readInImage(rootfs, "/etc/passwd")) ?? "");
  const group = parseGroup((await readInImage(rootfs, "/etc/group")) ?? "");
  return pickUser(user, passwd, group);
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/**
 * uid and gid win over the name; a user's gid comes from /etc/passwd, else 0, as in Docker and CRI. A named user is also
 * in the groups that /etc/group lists it in, unless it is to have no other than the pod names.
 */
export function pickUser(
  user: ContainerUser,
  passwd: readonly PasswdEntry[],
  groups: readonly GroupEntry[],
): ResolvedUser {
  const [userPart = "", groupPart] = (user.name ?? "").split(":", 2);
  const wanted = user.uid === undefined ? userPart || "0" : String(user.uid);
  const entry = passwd.find((e) => e.name === wanted) ?? passwd.find((e) => String(e.uid) === wanted);
  const uid = entry?.uid ?? numeric(wanted);
  if (uid === undefined) throw unknown("user", wanted, "/etc/passwd");
  const gid = user.gid ?? groupId(groupPart, groups) ?? entry?.gid ?? 0;
  const memberOf =
    entry === undefined || groupPart || user.onlyTheseGroups === true
      ? []
      : groups.filter((g) => g.members.includes(entry.name)).map((g) => g.gid);
  // The group itself is among them: a negative permission for it must hold (CVE-2022-36109).
  const additionalGids = [...new Set([gid, ...memberOf, ...user.supplementalGroups])];
  return { user: { uid, gid, additionalGids }, home: entry?.home || "/" };
}

function groupId(part: string | undefined, groups: readonly GroupEntry[]): number | undefined {
  if (part === undefined || part === "") return undefined;
  const gid = groups.find((g) => g.name === part)?.gid ?? numeric(part);
  if (gid === undefined) throw unknown("group", part, "/etc/group");
  return gid;
}

function numeric(text: string): number | undefined {
  const number = Number(text);
  return /^\d{1,10}$/.test(text) && number < 2 ** 32 - 1 ? number : undefined;
}

function unknown(what: string, name: string, file: string): GantryError {
  return new GantryError("image-invalid", `the image's ${file} has no ${what} "${name}"`, {
    hint: "Set securityContext.runAsUser to a number, or use an image that has it.",
  });
}

/** See passwd(5). Lines that are not entries are skipped. */
export function parsePasswd(text: string): PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uidText = "", gidText = "", , home = ""] = line.split(":");
    const uid = numeric(uidText);
    const gid = numeric(gidText);
    return name === "" || uid === undefined || gid === undefined ? [] : [{ name, uid, gid, home }];
  });
}

/** See group(5). */
export function parseGroup(text: string): GroupEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gidText = "", members = ""] = line.split(":");
    const gid = numeric(gidText);
    return name === "" || gid === undefined ? [] : [{ name, gid, members: members.trim().split(",").filter(Boolean) }];
  });
}

async function readInImage(rootfs: string, path: string): Promise<string | undefined> {
  const real = await resolveInRoot(rootfs, path);
  return real === undefined ? undefined : await readTail(real, MAX_FILE_BYTES);
}
