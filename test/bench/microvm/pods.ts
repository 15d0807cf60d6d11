import { z } from "zod";
import type { TestHost } from "../../e2e/harness/host.ts";
import { withRuntimeClass } from "../../e2e/harness/runtime-class.ts";
import { webPod } from "../pods.ts";

/** The pod that everything is measured with, in a micro-VM. */
export function webVm(name: string, hostPort: number): string {
  return withRuntimeClass(webPod(name, hostPort), "microvm");
}

const Pod = z.object({ metadata: z.object({ annotations: z.object({ "gantry.dev/sandbox": z.string() }) }) });
const Sandbox = z.object({ boot: z.string() });

/** How a pod's VM came up, and in how many ms from the start of its QEMU to the agent's answer, as the daemon tells. */
export async function bootOf(host: TestHost, name: string): Promise<{ readonly how: string; readonly ms: number }> {
  const { body } = await host.api("GET", `/api/v1/namespaces/default/pods/${name}`);
  const { metadata } = Pod.parse(JSON.parse(body));
  const { boot } = Sandbox.parse(JSON.parse(metadata.annotations["gantry.dev/sandbox"]));
  const [, how = "", ms] = /^(\w+), (\d+) ms$/.exec(boot) ?? [];
  return { how, ms: Number(ms) };
}
