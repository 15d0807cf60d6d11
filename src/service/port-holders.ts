import { portsOf } from "../host-ports.ts";
import { checkAgainstHost } from "../network/port-check.ts";
import type { PodState } from "../pod/contract.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import type { Assignment } from "./addresses.ts";
import { portKey } from "./contract.ts";

/** Who has which ports of the host, beside Services: pods, and whatever else listens. */
export class PortHolders {
  /** "30080/TCP" → "nginx (pid 12)"; undefined: it was looked at, and nothing listens. */
  readonly #listeners = new Map<string, string | undefined>();

  /** Looks at ports that Services are to have and that were not looked at yet. @returns true when one of them is taken */
  async look({ byKey }: Assignment): Promise<boolean> {
    const wanted = new Set(
      [...byKey.values()].flatMap(({ nodePorts }) =>
        Object.entries(nodePorts).map(([key, port]) => `${port}/${key.split("/")[1]}`),
      ),
    );
    for (const [port, holder] of this.#listeners)
      if (holder === undefined && !wanted.has(port)) this.#listeners.delete(port);
    let taken = false;
    for (const port of wanted) {
      if (this.#listeners.has(port)) continue;
      const holder = await listenerOn(port);
      this.#listeners.set(port, holder);
      taken ||= holder !== undefined;
    }
    return taken;
  }

  /** Those that were taken are looked at again. */
  forgetTaken(): void {
    for (const [port, holder] of this.#listeners) if (holder !== undefined) this.#listeners.delete(port);
  }

  /** "30080/TCP" → "pod default/web" */
  all(pods: readonly PodState[]): Map<string, string> {
    const listening = [...this.#listeners].flatMap(([port, holder]): [string, string][] =>
      holder === undefined ? [] : [[port, holder]],
    );
    const ofPods = pods.flatMap(({ desired }) =>
      portsOf(desired.pod).map((port): [string, string] => [portKey(port), `pod ${desired.key}`]),
    );
    return new Map([...listening, ...ofPods]);
  }
}

/** @param key "30080/TCP" @returns "nginx (pid 12)" */
async function listenerOn(key: string): Promise<string | undefined> {
  const [port, protocol] = key.split("/");
  if (protocol !== "TCP" && protocol !== "UDP") return undefined;
  try {
    await checkAgainstHost([{ hostPort: Number(port), containerPort: Number(port), protocol }]);
    return undefined;
  } catch (error) {
    if (!isGantryError(error, "port-in-use")) return messageOf(error);
    return String(error.details["holder"] ?? "another process");
  }
}
