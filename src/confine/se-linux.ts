import type { SeLinuxLabels } from "../sandbox/driver.ts";
import { GantryError } from "../system/errors.ts";
import type { SeLinuxWish } from "./contract.ts";

/** SELinux as the kernel and the host's policy show it. */
export interface SeLinuxHost {
  enabled(): Promise<boolean>;
  /** The text of the policy's lxc_contexts: which labels containers have; "" where it has none. */
  contexts(): Promise<string>;
}

/** Of the reference policy, for hosts whose policy says nothing of containers. */
const PROCESS = "system_u:system_r:container_t:s0";
const FILES = "system_u:object_r:container_file_t:s0";

/**
 * The labels of a container. Its files have their own type and role, but the user and level of the process.
 * @throws GantryError host-unsupported
 */
export async function findSeLinux(wish: SeLinuxWish, host: SeLinuxHost): Promise<SeLinuxLabels> {
  if (!(await host.enabled())) {
    throw new GantryError("host-unsupported", "Cannot set seLinuxOptions: SELinux is not enabled on the host", {
      hint: "Leave seLinuxOptions out, or boot the host with selinux=1 security=selinux and a policy.",
    });
  }
  const text = await host.contexts();
  const { user, level } = wish;
  const files = { ...(user === undefined ? {} : { user }), ...(level === undefined ? {} : { level }) };
  return {
    process: label(contextIn(text, "process") ?? PROCESS, wish),
    files: label(contextIn(text, "file") ?? FILES, files),
  };
}

/** `process = "system_u:system_r:container_t:s0"` in a line */
function contextIn(text: string, key: string): string | undefined {
  return new RegExp(`^\\s*${key}\\s*=\\s*"?([^"\\s]+:[^"\\s]+:[^"\\s]+)"?\\s*$`, "m").exec(text)?.[1];
}

/** The level is the rest, as it may have colons of its own: s0:c1,c2. */
function label(base: string, wish: SeLinuxWish): string {
  const [user = "", role = "", type = "", ...level] = base.split(":");
  const parts = [wish.user ?? user, wish.role ?? role, wish.type ?? type, wish.level ?? level.join(":")];
  return parts.filter((part) => part !== "").join(":");
}
