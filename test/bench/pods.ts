import { readdirSync, readFileSync } from "node:fs";
import { SAMPLE_IMAGE } from "../../src/image/index.ts";

/** One container, bridge network, one port of the host: the pod that everything is measured with. */
export function webPod(name: string, hostPort: number): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: web
      image: ${SAMPLE_IMAGE}
      command: [httpd, -f, -p, "80", -h, /www, -r, ${name}]
      ports:
        - containerPort: 80
          hostPort: ${hostPort}
`;
}

/** The least there is: a process that sleeps, on the host's network. */
export function sleepingPod(name: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
    - name: app
      image: ${SAMPLE_IMAGE}
      command: [sleep, infinity]
`;
}

/**
 * The host's process id of the app of a `webPod`, told by the name in its last argument; undefined for the moment
 * after its start in which it is not yet the app.
 */
export function appPid(name: string): number | undefined {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    let words: string[];
    try {
      words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
    } catch {
      continue; // it ended just now
    }
    if (words[0] === "httpd" && words.includes(name)) return Number(entry);
  }
  return undefined;
}
