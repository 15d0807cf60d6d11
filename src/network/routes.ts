import { z } from "zod";
import { type Cidr, cidrOverlaps, parseCidr } from "../config/cidr.ts";
import type { Exec } from "./plugin.ts";

/** What `ip -j route` says of a route. */
const routesSchema = z.array(
  z.looseObject({
    dst: z.string(),
    dev: z.string().optional(),
    gateway: z.string().optional(),
    metric: z.number().optional(),
  }),
);
export type Route = z.infer<typeof routesSchema>[number];

/** The host's IPv4 routes. @throws command-missing, command-failed */
export async function readRoutes(exec: Exec, signal: AbortSignal): Promise<Route[]> {
  const { stdout } = await exec("ip", ["-j", "-4", "route", "show"], {
    signal,
    installHint: "Install iproute2 (Debian: apt-get install iproute2).",
  });
  return routesSchema.parse(JSON.parse(stdout.trim() || "[]"));
}

/** The interface of the default route that is used. */
export function defaultInterface(routes: readonly Route[]): string | undefined {
  const defaults = routes.filter((route) => route.dst === "default");
  return defaults.toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0))[0]?.dev;
}

/**
 * The route that makes `subnet` unusable: a network that the host is in, or that lies inside it. A wider one behind a
 * gateway (10.0.0.0/8 of a VPN) only loses the part that pods use, which `widerRoute` finds.
 */
export function conflictingRoute(subnet: string, routes: readonly Route[], bridge: string): Route | undefined {
  return overlapping(
    subnet,
    routes,
    bridge,
    (range, ours, route) => route.gateway === undefined || range.prefix >= ours.prefix,
  );
}

export function widerRoute(subnet: string, routes: readonly Route[], bridge: string): Route | undefined {
  return overlapping(
    subnet,
    routes,
    bridge,
    (range, ours, route) => route.gateway !== undefined && range.prefix < ours.prefix,
  );
}

function overlapping(
  subnet: string,
  routes: readonly Route[],
  bridge: string,
  matters: (range: Cidr, ours: Cidr, route: Route) => boolean,
): Route | undefined {
  const ours = parseCidr(subnet);
  if (ours === undefined) return undefined;
  return routes.find((route) => {
    if (route.dst === "default" || route.dev === bridge) return false;
    const range = parseCidr(route.dst.includes("/") ? route.dst : `${route.dst}/32`);
    return range !== undefined && cidrOverlaps(range, ours) && matters(range, ours, route);
  });
}
