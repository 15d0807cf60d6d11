import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts, KernelFeatures, Presence } from "./facts.ts";

interface Feature {
  readonly key: keyof KernelFeatures;
  readonly name: string;
  readonly option: string;
  /** modprobe's name; undefined when it is no module. */
  readonly module: string | undefined;
  /** What happens without it; undefined: pods don't run. */
  readonly without: string | undefined;
}

const FEATURES: readonly Feature[] = [
  { key: "overlay", name: "overlayfs", option: "CONFIG_OVERLAY_FS", module: "overlay", without: undefined },
  {
    key: "erofs",
    name: "EROFS",
    option: "CONFIG_EROFS_FS",
    module: "erofs",
    without: "images are kept as unpacked trees",
  },
  { key: "bridge", name: "bridge", option: "CONFIG_BRIDGE", module: "bridge", without: undefined },
  { key: "veth", name: "veth", option: "CONFIG_VETH", module: "veth", without: undefined },
  {
    key: "nftables",
    name: "nftables",
    option: "CONFIG_NF_TABLES and CONFIG_NFT_NAT, _MASQ, _FIB_IPV4",
    module: "nf_tables",
    without: undefined,
  },
  {
    key: "seccompFilter",
    name: "seccomp",
    option: "CONFIG_SECCOMP_FILTER",
    module: undefined,
    without: "apps run without system call filter",
  },
];

/** Older kernels lack EROFS features and clone3 that the tools count on; Debian 11 has 5.10. */
const OLDEST = [5, 4] as const;

export function checkKernel({ kernelRelease, features }: HostFacts): Check[] {
  const found = FEATURES.map((feature) => ({ feature, presence: features[feature.key] }));
  return [checkRelease(kernelRelease), ...found.map(({ feature, presence }) => checkFeature(feature, presence))];
}

function checkRelease(release: string): Check {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const old = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  return old ? fail("kernel", release, `Use Linux ${OLDEST.join(".")} or newer.`) : ok("kernel", release);
}

function checkFeature({ name, option, module, without }: Feature, presence: Presence): Check {
  switch (presence) {
    case "yes":
      return ok(name, "available");
    case "unknown":
      return ok(name, "not loaded yet, or needs root to see; it is loaded when first used");
    case "no": {
      const mend =
        module === undefined
          ? `Use a kernel with ${option}.`
          : `modprobe ${module}; if there is no such module, use a kernel with ${option}.`;
      return without === undefined ? fail(name, "missing", mend) : warn(name, `missing: ${without}`, mend);
    }
  }
}
