import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts } from "./facts.ts";

/** Without these pods run all the same, with less or by other means. */
const OPTIONAL: Readonly<Record<string, string>> = {
  crun: "runc is used instead",
  runc: "only crun can be used",
  "mkfs.erofs": "images are kept as unpacked trees",
  iptables: "pods may not get past a firewall that drops forwarded packets",
  busybox: "the sample image can't be built",
  ps: "only people miss it",
  skopeo: "images in archives can't be imported",
  xz: "images that are compressed with it can't be imported",
  bzip2: "images that are compressed with it can't be imported",
  modprobe: "kernel modules are not loaded when they are needed",
  git: "Git repositories can't be followed",
  ssh: "Git repositories can't be followed over ssh",
  "ssh-keygen": "ssh signatures of commits can't be checked",
  dnsmasq: "pods can't resolve names of Services and pods",
  conntrack: "UDP clients of a host port may lose their pod when it is replaced",
};

export function checkTools({ tools }: HostFacts): Check[] {
  const present = Object.entries(tools.versions).map(([tool, version]) => ok(tool, version));
  const missing = tools.missing.map(({ tool, purpose, package: name }) => {
    const mend = name === undefined ? `Install ${tool} by the means of your system.` : `apt-get install ${name}`;
    const less = OPTIONAL[tool];
    return less === undefined
      ? fail(tool, `missing: it ${purpose}`, tools.install ?? mend)
      : warn(tool, `missing: ${less}`, mend);
  });
  return [...missing, ...present];
}
