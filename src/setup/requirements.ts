/**
 * The tools that Gantry runs, why, and which package of which distribution brings them. Pure data and look-ups.
 * The versions are the oldest that Gantry is tested with: Debian 12's.
 */

export type Family = "debian" | "fedora" | "arch" | "alpine" | "suse";

export interface Requirement {
  /** The command, as found in PATH; a path of its own for what is not a command. */
  readonly tool: string;
  /** Other places than PATH where it may be, any of which will do. */
  readonly paths?: readonly string[];
  /** It is read, not run. */
  readonly isData?: true;
  /** True when a dynamically linked one will not do. */
  readonly mustBeStatic?: true;
  /** What Gantry does with it, for people. */
  readonly purpose: string;
  readonly version: string;
  /** Package names; undefined where the distribution has none that we know of. */
  readonly packages: Readonly<Record<Family, string | undefined>>;
  /** Only the tests run it. */
  readonly testsOnly?: true;
  /** Pods in namespace sandboxes do without it. */
  readonly microvmOnly?: true;
}

/** Where distributions put the CNI plugins. */
export const CNI_DIRECTORIES = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"] as const;

/** A package that has the same name everywhere. */
function everywhere(name: string): Record<Family, string> {
  return { debian: name, fedora: name, arch: name, alpine: name, suse: name };
}

export const REQUIREMENTS: readonly Requirement[] = [
  { tool: "crun", purpose: "starts containers (OCI runtime)", version: "1.8", packages: everywhere("crun") },
  { tool: "runc", purpose: "starts containers where crun cannot", version: "1.1", packages: everywhere("runc") },
  {
    tool: "conmon",
    purpose: "holds each container: its log and exit code",
    version: "2.1",
    packages: everywhere("conmon"),
  },
  {
    tool: "CNI plugins",
    paths: CNI_DIRECTORIES.map((directory) => `${directory}/bridge`),
    purpose: "give pods their network (bridge, host-local, portmap)",
    version: "1.1",
    packages: {
      ...everywhere("containernetworking-plugins"),
      arch: "cni-plugins",
      alpine: "cni-plugins",
      suse: "cni-plugins",
    },
  },
  {
    tool: "iptables",
    purpose: "lets pods through a firewall that drops what is forwarded",
    version: "1.8",
    packages: { ...everywhere("iptables"), fedora: "iptables-nft" },
  },
  {
    tool: "conntrack",
    purpose: "lets clients of a replaced pod find the new one",
    version: "1.4",
    packages: { ...everywhere("conntrack-tools"), debian: "conntrack" },
  },
  {
    tool: "nft",
    purpose: "maps host ports to pods, and masquerades for them",
    version: "1.0",
    packages: everywhere("nftables"),
  },
  {
    tool: "dnsmasq",
    purpose: "resolves the names of Services and pods",
    version: "2.90",
    packages: { ...everywhere("dnsmasq"), debian: "dnsmasq-base" },
  },
  { tool: "openssl", purpose: "makes the keys of the API over TLS", version: "3.0", packages: everywhere("openssl") },
  {
    tool: "ip",
    purpose: "handles network namespaces and links",
    version: "6.1",
    packages: { ...everywhere("iproute2"), fedora: "iproute" },
  },
  {
    tool: "socat",
    purpose: "passes input on to apps (gantry attach -i)",
    version: "1.7",
    packages: everywhere("socat"),
  },
  { tool: "skopeo", purpose: "reads images", version: "1.9", packages: everywhere("skopeo") },
  {
    tool: "gpg",
    purpose: "checks who signed an image",
    version: "2.2",
    packages: { ...everywhere("gnupg"), fedora: "gnupg2", suse: "gpg2" },
  },
  {
    tool: "umoci",
    purpose: "unpacks images",
    version: "0.4.7",
    packages: { debian: "umoci", fedora: undefined, arch: undefined, alpine: "umoci", suse: "umoci" },
  },
  {
    tool: "mkfs.erofs",
    purpose: "packs each image into one read-only file",
    version: "1.5",
    packages: everywhere("erofs-utils"),
  },
  {
    tool: "busybox",
    mustBeStatic: true,
    purpose: "is what the sample image is made of",
    version: "1.35",
    packages: {
      debian: "busybox-static",
      fedora: "busybox",
      arch: "busybox",
      alpine: "busybox-static",
      suse: "busybox-static",
    },
  },
  {
    tool: "catatonit",
    purpose: "is process 1 of pods that share one process namespace",
    version: "0.1.7",
    packages: everywhere("catatonit"),
  },
  { tool: "unshare", purpose: "makes namespaces", version: "2.38", packages: everywhere("util-linux") },
  {
    tool: "mount",
    purpose: "mounts volumes and images",
    version: "2.38",
    packages: { ...everywhere("util-linux"), debian: "mount" },
  },
  {
    tool: "ps",
    purpose: "lists processes",
    version: "3.3",
    packages: { ...everywhere("procps-ng"), debian: "procps", suse: "procps" },
  },
  {
    tool: "xz",
    purpose: "unpacks images that are compressed with it",
    version: "5.4",
    packages: { ...everywhere("xz"), debian: "xz-utils" },
  },
  {
    tool: "bzip2",
    purpose: "unpacks images that are compressed with it",
    version: "1.0",
    packages: everywhere("bzip2"),
  },
  {
    tool: "modprobe",
    purpose: "loads the EROFS driver where the kernel has it as a module",
    version: "30",
    packages: everywhere("kmod"),
  },
  { tool: "zstd", purpose: "is used by the tests", version: "1.5", packages: everywhere("zstd"), testsOnly: true },
  { tool: "age", purpose: "is used by the tests", version: "1.1", packages: everywhere("age"), testsOnly: true },
  { tool: "git", purpose: "follows Git repositories (gantry sync)", version: "2.39", packages: everywhere("git") },
  {
    tool: "ssh",
    purpose: "follows Git repositories over ssh",
    version: "9.2",
    packages: {
      debian: "openssh-client",
      fedora: "openssh-clients",
      arch: "openssh",
      alpine: "openssh-client",
      suse: "openssh-clients",
    },
  },
  {
    tool: "ssh-keygen",
    purpose: "checks ssh signatures of commits",
    version: "9.2",
    packages: {
      debian: "openssh-client",
      fedora: "openssh",
      arch: "openssh",
      alpine: "openssh-keygen",
      suse: "openssh-common",
    },
  },
  {
    tool: "sshd",
    purpose: "is the server of the tests of Git over ssh",
    version: "9.2",
    packages: { ...everywhere("openssh-server"), arch: "openssh" },
    testsOnly: true,
  },
  {
    tool: "qemu-system-x86_64",
    purpose: "runs micro-VMs",
    version: "7.2",
    packages: {
      debian: "qemu-system-x86",
      fedora: "qemu-system-x86-core",
      arch: "qemu-system-x86",
      alpine: "qemu-system-x86_64",
      suse: "qemu-x86",
    },
    microvmOnly: true,
  },
  {
    tool: "gcc",
    purpose: "compiles the agent and the jailer of micro-VMs",
    version: "12",
    packages: everywhere("gcc"),
    microvmOnly: true,
  },
  {
    tool: "C library",
    paths: ["/usr/include/stdio.h"],
    isData: true,
    purpose: "is linked into the agent of micro-VMs",
    version: "2.36",
    packages: {
      debian: "libc6-dev",
      fedora: "glibc-static",
      arch: "glibc",
      alpine: "musl-dev",
      suse: "glibc-devel-static",
    },
    microvmOnly: true,
  },
  {
    tool: "docker-registry",
    purpose: "is the registry that the tests pull from",
    version: "2.8",
    packages: {
      debian: "docker-registry",
      fedora: "docker-distribution",
      arch: "distribution",
      alpine: "docker-registry",
      suse: "distribution-registry",
    },
    testsOnly: true,
  },
  {
    tool: "openssl",
    purpose: "makes certificates for the tests",
    version: "3.0",
    packages: everywhere("openssl"),
    testsOnly: true,
  },
  { tool: "cpio", purpose: "is used by the tests", version: "2.13", packages: everywhere("cpio"), testsOnly: true },
  {
    tool: "mkfs.ext4",
    purpose: "makes the volumes of claims, and the disks that micro-VMs write to (with e2fsck and resize2fs)",
    version: "1.46",
    packages: everywhere("e2fsprogs"),
  },
];

/**
 * The family of a distribution, from the text of /etc/os-release (ID first, then ID_LIKE).
 * @returns undefined for one that we have no package names for
 */
export function familyOf(osRelease: string): Family | undefined {
  const words = ["ID", "ID_LIKE"].flatMap((key) => {
    const value = new RegExp(`^${key}=(.*)$`, "m").exec(osRelease)?.[1] ?? "";
    return value.replaceAll(/["']/g, "").split(/\s+/);
  });
  for (const word of words) {
    if (word === "debian" || word === "ubuntu") return "debian";
    if (word === "fedora" || word === "rhel" || word === "centos") return "fedora";
    if (word === "arch") return "arch";
    if (word === "alpine") return "alpine";
    if (word === "suse" || word === "opensuse") return "suse";
  }
  return undefined;
}

const INSTALL: Readonly<Record<Family, string>> = {
  debian: "apt-get install --no-install-recommends",
  fedora: "dnf install",
  arch: "pacman -S",
  alpine: "apk add",
  suse: "zypper install",
};

/** The packages that bring `missing`, each once, in the order of the list. */
export function packagesFor(missing: readonly Requirement[], family: Family): string[] {
  return [...new Set(missing.map(({ packages }) => packages[family]).filter((name) => name !== undefined))];
}

/** What to tell someone who has to install `missing` by hand: one line a tool, then the command. */
export function instructions(missing: readonly Requirement[], family: Family | undefined): string[] {
  const lines = missing.map(
    ({ tool, version, purpose, mustBeStatic }) =>
      `  ${tool.padEnd(12)} ${version} or newer${mustBeStatic ? ", statically linked" : ""}: ${purpose}`,
  );
  const unpackaged = missing.filter(({ packages }) => family === undefined || packages[family] === undefined);
  if (family !== undefined) {
    const packages = packagesFor(missing, family);
    if (packages.length > 0) lines.push("As root, run:", `  ${INSTALL[family]} ${packages.join(" ")}`);
  }
  if (unpackaged.length > 0) {
    const names = unpackaged.map(({ tool, packages }) => `${tool} (Debian's package: ${packages.debian})`);
    lines.push(`Install by the means of your system: ${names.join(", ")}.`);
  }
  return lines;
}
