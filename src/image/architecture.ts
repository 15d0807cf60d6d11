/** OCI's (that is Go's) names of what Node.js calls the architecture. */
const NAMES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm: "arm",
  arm64: "arm64",
  loong64: "loong64",
  mips64el: "mips64le",
  ppc64: "ppc64le",
  riscv64: "riscv64",
  s390x: "s390x",
};

/** This machine's architecture as images name it, e.g. "amd64". */
export const HOST_ARCHITECTURE: string = NAMES[process.arch] ?? process.arch;
