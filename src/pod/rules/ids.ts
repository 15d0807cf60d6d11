/** Names of sandboxes, containers and logs: unique for ever, because attempt numbers are never used twice. */
import { hashOf } from "../../hash.ts";

/** `<12 hex digits of the uid>-<attempt>` */
export function sandboxId(uid: string, attempt: number): string {
  return `${headOf(uid)}-${attempt}`;
}

/** True for the sandboxes of that pod, and hardly ever for those of another. */
export function isOfPod(sandbox: string, uid: string): boolean {
  return sandbox.startsWith(`${headOf(uid)}-`);
}

function headOf(uid: string): string {
  const hex = uid.replaceAll("-", "");
  return /^[0-9a-f]{16,}$/.test(hex) ? hex.slice(0, 12) : hashOf(uid).slice(0, 12);
}

/** `<sandbox>-<name, shortened>-<attempt>`, at most 63 characters. */
export function containerId(sandbox: string, name: string, attempt: number): string {
  const short = name.length <= 30 ? name : `${name.slice(0, 21).replace(/-+$/, "")}-${hashOf(name).slice(0, 8)}`;
  return `${sandbox}-${short}-${attempt}`;
}

/** True when the container with this id was made in that sandbox. */
export function isOfSandbox(container: string, sandbox: string): boolean {
  return container.startsWith(`${sandbox}-`);
}

/** Directory of a pod's logs under the log root: `<namespace>_<name>_<uid>`. */
export function podLogName(namespace: string, name: string, uid: string): string {
  return `${namespace}_${name}_${uid}`;
}
