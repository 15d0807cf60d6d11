import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts, KvmFacts } from "./facts.ts";

export function checkNetwork({ network, uid }: HostFacts): Check[] {
  return [checkPlugins(network), checkConflist(network), checkForwarding(network, uid), ...checkRange(network)];
}

function checkPlugins({ needed, plugins, pluginFolders }: HostFacts["network"]): Check {
  const missing = needed.filter((name) => !plugins.includes(name));
  if (missing.length === 0) return ok("CNI plugins", needed.join(", "));
  return fail(
    "CNI plugins",
    `missing: ${missing.join(", ")} (searched ${pluginFolders.join(", ")})`,
    "apt-get install containernetworking-plugins, or set CNI_PATH",
  );
}

function checkConflist({ conflist, conflistError }: HostFacts["network"]): Check {
  if (conflistError !== undefined)
    return fail("CNI network", conflistError, "Correct the file, or remove it: without one Gantry writes its own.");
  if (conflist === undefined) return ok("CNI network", "none yet: the daemon writes its own");
  return ok("CNI network", `${conflist.name} (${conflist.file}${conflist.own ? ", Gantry's own" : ""})`);
}

function checkForwarding({ forwarding, droppingTables }: HostFacts["network"], uid: number): Check {
  if (droppingTables.length > 0) {
    return warn(
      "forwarding",
      `the nftables table ${droppingTables.join(", ")} drops forwarded packets by default: pods may reach nothing but the host`,
      'Let the pods\' bridge pass in that table\'s forward chain: iifname "gantry0" accept; oifname "gantry0" accept',
    );
  }
  if (!forwarding) return ok("forwarding", "off; the daemon turns it on (net.ipv4.ip_forward)");
  return ok("forwarding", uid === 0 ? "on" : "on (only root can see the firewall)");
}

function checkRange({ subnet, conflictingRoute, conflist }: HostFacts["network"]): Check[] {
  if (conflist !== undefined && !conflist.own) return [];
  if (conflictingRoute === undefined) return [ok("pod addresses", subnet)];
  return [
    fail(
      "pod addresses",
      `${subnet} overlaps the host's ${conflictingRoute}`,
      "Set network.subnet in config.yaml to a free range, e.g. 10.78.0.0/16.",
    ),
  ];
}

/** For information: micro-VMs run without KVM too, slowly. */
export function checkKvm({ kvm }: HostFacts): Check[] {
  switch (kvm.device) {
    case "usable":
      return [ok("KVM", describe(kvm))];
    case "denied":
      return [warn("KVM", "/dev/kvm is there but can't be opened", "Run as root, or: usermod -aG kvm $USER")];
    case "missing":
      return [
        warn("KVM", `no /dev/kvm: micro-VMs would be emulated, many times slower (${describe(kvm)})`, mendKvm(kvm)),
      ];
  }
}

function describe({ cpuFlag, modules, virtual }: KvmFacts): string {
  const cpu = cpuFlag === undefined ? "no vmx or svm flag" : cpuFlag;
  return [
    cpu,
    modules.length > 0 ? `modules ${modules.join(", ")}` : "no kvm module",
    virtual ? "inside a virtual machine" : undefined,
  ]
    .filter(Boolean)
    .join("; ");
}

function mendKvm({ cpuFlag, virtual }: KvmFacts): string {
  if (cpuFlag === "vmx") return "modprobe kvm_intel";
  if (cpuFlag === "svm") return "modprobe kvm_amd";
  return virtual
    ? "Turn on nested virtualization on the host of this machine."
    : "Turn on VT-x or AMD-V in the firmware.";
}

export function checkDaemon({ daemon }: HostFacts): Check[] {
  if (daemon.answers) return [ok("daemon", `runs${daemon.pid === undefined ? "" : ` (pid ${daemon.pid})`}`)];
  if (daemon.pid !== undefined)
    return [
      warn(
        "daemon",
        `process ${daemon.pid} runs but does not answer`,
        `See its log; kill ${daemon.pid} and start it again: pods go on meanwhile.`,
      ),
    ];
  if (daemon.leftovers.length === 0) return [ok("daemon", "does not run")];
  return [
    warn(
      "daemon",
      `does not run, but there is: ${daemon.leftovers.join(", ")}`,
      "Start the daemon: it adopts what runs and removes what nobody wants.",
    ),
  ];
}
