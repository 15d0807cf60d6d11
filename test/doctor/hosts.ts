import type { HostFacts } from "../../src/doctor/facts.ts";

const ALL_CAPABILITIES = 0x1ffffffffffn;

/** A well-kept Debian 12 on cgroup v2, as `gather` sees it. */
export const healthy: HostFacts = {
  uid: 0,
  capabilities: ALL_CAPABILITIES,
  kernelRelease: "6.1.0-18-amd64",
  machine: "x64",
  features: { overlay: "yes", erofs: "unknown", bridge: "yes", veth: "yes", nftables: "yes", seccompFilter: "yes" },
  confinement: {
    appArmor: "enabled",
    seLinux: "absent",
    seccompProfiles: { folder: "/etc/gantry/seccomp", sound: ["audit.json"], damaged: [] },
  },
  cgroups: {
    mode: "v2",
    v1: [],
    v2: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"],
    enabled: ["cpu", "memory", "pids", "hugetlb"],
  },
  limits: { userNamespaces: 31_000, inotifyInstances: 128, inotifyWatches: 65_536, pidMax: 4_194_304 },
  disks: [
    {
      use: "images and volumes",
      path: "/var/lib/gantry",
      freeBytes: 50 * 2 ** 30,
      freeInodes: 3e6,
      totalInodes: 4e6,
      writable: true,
    },
  ],
  now: Date.UTC(2026, 0, 1),
  tools: { missing: [], versions: { crun: "1.8.1", nft: "1.0.6" }, install: undefined },
  runtimes: [
    { name: "crun", version: "1.8.1", usable: "yes", why: undefined },
    { name: "runc", version: "1.1.5", usable: "yes", why: undefined },
  ],
  network: {
    pluginFolders: ["/opt/cni/bin", "/usr/lib/cni"],
    plugins: ["bridge", "host-local", "loopback"],
    needed: ["bridge", "host-local"],
    conflist: undefined,
    conflistError: undefined,
    forwarding: false,
    droppingTables: [],
    subnet: "10.77.0.0/16",
    conflictingRoute: undefined,
    services: { range: "10.79.0.0/16" },
    dnsObstacle: undefined,
  },
  kvm: { device: "usable", cpuFlag: "vmx", modules: ["kvm", "kvm_intel"], virtual: false },
  microvm: {
    qemu: { path: "/usr/bin/qemu-system-x86_64", version: "7.2.22" },
    qemuSetting: undefined,
    kernel: { name: "linux-image-6.1.0-50-cloud-amd64_6.1.176-1" },
    agent: "ready",
    fetchable: true,
    accelerator: { used: "kvm", why: "hardware virtualization: a guest came up in 180 ms" },
    tun: true,
    redirect: "yes",
    templateBytes: 2 ** 33,
  },
  daemon: { pid: undefined, answers: false, pressure: [], leftovers: [] },
};

/** A container-like machine, as recorded: v1 hierarchies beside v2, hugetlb in none of them, no CAP_SYS_RESOURCE. */
export const hybrid: HostFacts = {
  ...healthy,
  capabilities: 0x1fffeffffffn,
  kernelRelease: "6.18.44-fc-v445",
  cgroups: {
    mode: "hybrid",
    v1: ["cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids"],
    v2: [],
    enabled: [
      "cpuset",
      "cpu",
      "cpuacct",
      "blkio",
      "memory",
      "devices",
      "freezer",
      "net_cls",
      "perf_event",
      "net_prio",
      "hugetlb",
      "pids",
    ],
  },
  runtimes: [
    { name: "crun", version: "1.8.1", usable: "no", why: "cannot detect the cgroup path of hugetlb" },
    { name: "runc", version: "1.1.5", usable: "yes", why: undefined },
  ],
  kvm: { device: "missing", cpuFlag: undefined, modules: [], virtual: true },
  microvm: {
    ...healthy.microvm,
    kernel: "absent",
    agent: "compilable",
    accelerator: {
      used: "tcg",
      why: "software emulation: the CPU shows no hardware virtualization (neither vmx nor svm)",
    },
  },
};

/** A fresh minimal installation, seen by a plain user. */
export const bare: HostFacts = {
  ...healthy,
  uid: 1000,
  capabilities: 0n,
  features: {
    overlay: "unknown",
    erofs: "no",
    bridge: "unknown",
    veth: "unknown",
    nftables: "yes",
    seccompFilter: "yes",
  },
  tools: {
    missing: [
      { tool: "conmon", purpose: "holds each container: its log and exit code", package: "conmon" },
      { tool: "mkfs.erofs", purpose: "packs each image into one read-only file", package: "erofs-utils" },
    ],
    versions: {},
    install: "apt-get install conmon erofs-utils",
  },
  runtimes: [
    { name: "crun", version: undefined, usable: "no", why: "not installed" },
    { name: "runc", version: undefined, usable: "no", why: "not installed" },
  ],
  network: { ...healthy.network, plugins: [] },
  kvm: { device: "denied", cpuFlag: "svm", modules: ["kvm", "kvm_amd"], virtual: false },
  microvm: {
    ...healthy.microvm,
    qemu: undefined,
    agent: "no-compiler",
    accelerator: { used: "tcg", why: "software emulation: /dev/kvm cannot be opened" },
  },
};
