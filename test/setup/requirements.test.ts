import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { familyOf, instructions, packagesFor, REQUIREMENTS, type Requirement } from "../../src/setup/requirements.ts";

function requirement(tool: string): Requirement {
  const found = REQUIREMENTS.find((one) => one.tool === tool);
  if (found === undefined) throw new Error(`no requirement ${tool}`);
  return found;
}

describe("familyOf", () => {
  test.each([
    ["ID=debian", "debian"],
    ['ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"', "debian"],
    ['NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"', "fedora"],
    ["ID=arch", "arch"],
    ["ID=alpine", "alpine"],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"', "suse"],
    ["ID=nixos", undefined],
    ["", undefined],
  ])("of %j is %s", (text, family) => {
    expect(familyOf(text)).toBe(family);
  });
});

test("a package that brings two tools is asked for once", () => {
  expect(packagesFor([requirement("unshare"), requirement("mount")], "fedora")).toEqual(["util-linux"]);
  expect(packagesFor([requirement("unshare"), requirement("mount")], "debian")).toEqual(["util-linux", "mount"]);
});

test("instructions name the tool, the version wanted, the reason and the command", () => {
  const text = instructions([requirement("crun"), requirement("CNI plugins")], "arch").join("\n");
  expect(text).toContain("crun         1.8 or newer: starts containers (OCI runtime)");
  expect(text).toContain("pacman -S crun cni-plugins");
});

test("what a distribution does not package is named apart", () => {
  const text = instructions([requirement("umoci"), requirement("crun")], "fedora").join("\n");
  expect(text).toContain("dnf install crun");
  expect(text).not.toContain("dnf install umoci");
  expect(text).toContain("Install by the means of your system: umoci (Debian's package: umoci).");
});

test("an unknown distribution gets no command, but every name", () => {
  const text = instructions(REQUIREMENTS, undefined).join("\n");
  expect(text).not.toContain("As root");
  for (const { packages } of REQUIREMENTS) expect(text).toContain(packages.debian);
});

/** Commands of packages that every Debian has (priority "required"). */
const ALWAYS_THERE = new Set(
  (
    "bash cat chcon chmod chown chroot cp dd dpkg-deb du env find findmnt flock sync getconf mkdir mkfifo mv nsenter rm sh sleep stat stty " +
    "tar truncate umount apt-get base64 setpriv"
  ).split(" "),
);
/** Tools of the same packages as those of the list, by name. */
const COME_ALONG = new Map([
  ["iptables-save", "iptables"],
  ["tc", "ip"],
  ["pkill", "ps"],
  ["gpgconf", "gpg"],
  ["e2fsck", "mkfs.ext4"],
  ["resize2fs", "mkfs.ext4"],
  ["losetup", "mount"],
]);
/** Asked only where they are installed or where the host has what they are for, or come with Node.js. */
const OPTIONAL = new Set(["npm", "podman", "firewall-cmd", "apparmor_parser"]);

/** What `directory` runs by a name that stands in its text. */
function commandsIn(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return files.flatMap((name) => {
    const text = readFileSync(join(directory, name), "utf8");
    const calls = text.matchAll(
      /\b(?:exec|run|runTool|execFileSync|execFile|spawnSync|spawn)\(\s*"([a-z][\w.+-]*)",\s*\[/g,
    );
    return [...calls].map(([, command]) => command ?? "");
  });
}

test.each([
  ["src", REQUIREMENTS.filter(({ testsOnly }) => testsOnly !== true)],
  ["test", REQUIREMENTS],
])("a fresh Debian gets every command that %s runs", (directory, requirements) => {
  const installed = new Set(requirements.map(({ tool }) => tool));
  const commands = new Set(commandsIn(directory));
  expect(commands.size).toBeGreaterThan(10);
  const unknown = [...commands].filter((command) => {
    const tool = COME_ALONG.get(command) ?? command;
    return !installed.has(tool) && !ALWAYS_THERE.has(tool) && !OPTIONAL.has(tool);
  });
  expect(unknown).toEqual([]);
});
