import { GantryError } from "../../system/errors.ts";

/**
 * What an OCI runtime printed, without timestamps, levels and its own name:
 * crun says `2026-01-02T03:04:05.6Z: text`, runc `time="…" level=error msg="runc create failed: text"`.
 */
export function cleanRuntimeMessage(output: string): string {
  const lines = output
    .split("\n")
    .map(cleanLine)
    .filter((line) => line !== undefined);
  const errors = lines.filter((line) => line.severity !== "warning");
  const said = (errors.length > 0 ? errors : lines).map((line) => line.text);
  return [...new Set(said)].join("; ") || "it gave no reason";
}

interface Line {
  readonly text: string;
  readonly severity: "error" | "warning";
}

function cleanLine(raw: string): Line | undefined {
  const line = raw.trim();
  if (line === "") return undefined;
  const structured = /\blevel=(\w+) msg=("(?:[^"\\]|\\.)*"|\S+)/.exec(line);
  const text = structured ? unquote(structured[2] ?? "") : line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z?: /, "");
  const cleaned = text
    .replace(/^(?:(?:runc|crun) \w+ failed: |\[conmon:\w+\]: |error: |container_linux\.go:\d+: )+/, "")
    .replace(/^unable to start container process: /, "")
    .replace(/^(?:starting|creating) container process caused: /, "")
    .replace(/: unknown$/, "")
    .trim();
  return cleaned === "" ? undefined : { text: cleaned, severity: structured?.[1] === "warning" ? "warning" : "error" };
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : text;
  } catch {
    return text.slice(1, -1);
  }
}

/** For a container that has a seccomp profile of the host's and came to nothing without saying why. */
export const OWN_FILTER_HINT =
  "Its seccomp profile may forbid what it takes to start: setting ids and capabilities (unless allowPrivilegeEscalation is false), read, write, execve.";

export const SYSCTL_HINT = "Correct securityContext.sysctls: the kernel must have the setting, and take the value.";

interface RuntimeErrorFacts {
  /** argv[0] */
  readonly command: string;
  readonly cwd: string;
  readonly runtime: string;
  /** Whether it has a seccomp profile of the host's. */
  readonly ownFilter?: boolean;
}

/** What went wrong, in the terms of a manifest. */
export function runtimeError(output: string, facts: RuntimeErrorFacts): GantryError {
  const message = cleanRuntimeMessage(output);
  const fail = (text: string, hint: string, exitCode: number): GantryError =>
    new GantryError("runtime-failed", text, {
      hint,
      details: { reason: "StartError", exitCode, runtime: facts.runtime, said: message },
    });
  if (/no space left on device|disk quota exceeded/i.test(message)) {
    return new GantryError("disk-full", `the disk is full: ${message}`, {
      kind: "system",
      hint: "Free some disk space.",
    });
  }
  const sysctl = /\/proc\/sys\/([\w./-]+)/.exec(message)?.[1];
  if (sysctl !== undefined) {
    return fail(`the sysctl ${sysctl.replaceAll("/", ".")} can't be set: ${message}`, SYSCTL_HINT, 128);
  }
  if (/seccomp/i.test(message)) {
    return fail(
      `the seccomp profile can't be used: ${message}`,
      "Check the profile that seccompProfile names; 'gantry doctor' says whether the kernel has seccomp.",
      128,
    );
  }
  if (/apparmor/i.test(message)) {
    return fail(
      `the AppArmor profile can't be set: ${message}`,
      "Check appArmorProfile, and that the OCI runtime was built with AppArmor.",
      128,
    );
  }
  if (/selinux/i.test(message)) {
    return fail(
      `the SELinux label can't be set: ${message}`,
      "Check seLinuxOptions: the host's policy must know the user, role, type and level.",
      128,
    );
  }
  if (/chdir|cwd|working directory/i.test(message)) {
    return fail(
      `the working directory ${facts.cwd} cannot be entered: ${message}`,
      "Check workingDir, and that the user may enter it.",
      128,
    );
  }
  if (/executable file.*not found|exec.*no such file or directory|stat .*no such file or directory/i.test(message)) {
    return fail(
      `there is no command "${facts.command}" in the image`,
      "Check 'command' and 'args', and that the image is the right one.",
      127,
    );
  }
  if (
    /exec.*permission denied|permission denied.*exec|is a directory|open executable.*permission denied/i.test(message)
  ) {
    return fail(
      `"${facts.command}" may not be executed: ${message}`,
      "The file needs execute permission for the user that the container runs as.",
      126,
    );
  }
  if (/exec format error/i.test(message)) {
    return fail(
      `"${facts.command}" is not a program for this machine: ${message}`,
      "Is the image for another architecture, or a script without #! line?",
      126,
    );
  }
  if (/mount_setattr/.test(message)) {
    return fail(
      `a volume can't be mapped to the pod's user namespace: ${message}`,
      "Its file system does not know idmapped mounts (tmpfs does since Linux 6.3): use another volume, or hostUsers: true.",
      128,
    );
  }
  return new GantryError("runtime-failed", `${facts.runtime} cannot create the container: ${message}`, {
    kind: "system",
    hint: facts.ownFilter ? OWN_FILTER_HINT : "'gantry doctor' checks what the OCI runtime needs from the host.",
    details: { reason: "CreateContainerError", exitCode: 128, runtime: facts.runtime, said: message },
  });
}
