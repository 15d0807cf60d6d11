/** Which range the Services' addresses come from. Pure. */
import { cidrOverlaps, parseCidr } from "../config/cidr.ts";
import { defaultServiceSubnet } from "../config/index.ts";
import { conflictingRoute, type Route } from "../network/routes.ts";

/** Ranges that are tried when the one that nobody chose is taken. */
const TRIES = 64;

export interface RangeQuestion {
  readonly rootId: string;
  readonly configured: string;
  /** The pods' range, where it is Gantry's. */
  readonly podSubnet: string | undefined;
  readonly routes: readonly Route[];
  /** The device of our own route. */
  readonly bridge: string;
}

/** The configured range, or where nobody chose it the next one that is free. @returns a sentence when there is none */
export function chooseRange(question: RangeQuestion): { readonly range: string } | { readonly trouble: string } {
  const { rootId, configured, podSubnet, routes, bridge } = question;
  const candidates =
    configured === defaultServiceSubnet(rootId)
      ? Array.from({ length: TRIES }, (_, step) => defaultServiceSubnet(rootId, step))
      : [configured];
  const free = candidates.find((candidate) => obstacle(candidate) === undefined);
  if (free !== undefined) return { range: free };
  return {
    trouble: `Services have no addresses: ${configured} overlaps ${obstacle(configured)}; set network.serviceSubnet in config.yaml to a free range`,
  };

  function obstacle(candidate: string): string | undefined {
    const [ours, pods] = [parseCidr(candidate), parseCidr(podSubnet ?? "")];
    if (ours !== undefined && pods !== undefined && cidrOverlaps(ours, pods)) return `the pods' range ${podSubnet}`;
    const route = conflictingRoute(candidate, routes, bridge);
    return route === undefined
      ? undefined
      : `the host's ${route.dst}${route.dev === undefined ? "" : ` (${route.dev})`}`;
  }
}
