import { whoWaits } from "../eviction/thresholds.ts";
import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts } from "./facts.ts";

export function checkNetwork({ network, uid }: HostFacts): Check[] {
  return [
    checkPlugins(network),
    checkConflist(network),
    checkForwarding(network, uid),
    ...checkRange(network),
    ...checkServices(network),
  ];
}

function checkServices({ services, dnsObstacle }: HostFacts["network"]): Check[] {
  const range =
    "range" in services
      ? ok("Service addresses", services.range)
      : warn("Service addresses", services.trouble, "Set network.serviceSubnet in config.yaml, e.g. to 10.97.0.0/16.");
  if (dnsObstacle === undefined) return [range];
  const mend = "Let that program listen on other addresses only (for another dnsmasq: bind-interfaces).";
  return [range, warn("names", `pods can't resolve names of Services and pods: ${dnsObstacle}`, mend)];
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

export function checkDaemon({ daemon }: HostFacts): Check[] {
  const runs = ok("daemon", `runs${daemon.pid === undefined ? "" : ` (pid ${daemon.pid})`}`);
  if (daemon.answers && daemon.pressure.length === 0) return [runs];
  if (daemon.answers)
    return [
      runs,
      warn(
        "pressure",
        `the node has ${daemon.pressure.join(" and ")}: ${whoWaits(daemon.pressure)}, and pods may be evicted`,
        "Free memory or disk space, remove pods, or change the thresholds (eviction.* in 'gantry config').",
      ),
    ];
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
