/** What is said to whoever asks for a kind of object that is not served. Pure. */
import { FOREIGN_KINDS, foreignKind, INERT_KINDS, noEffectText } from "../../manifest/foreign-kinds.ts";
import { GantryError } from "../../system/errors.ts";
import { SERVED_KINDS } from "./kinds.ts";
import { groupVersion } from "./resources.ts";

/** The 404 of a path, with what is known of the kind that it asks for: "/apis/autoscaling/v2/horizontalpodautoscalers" */
export function nothingAt(path: string): GantryError {
  const asked = collectionAt(path);
  const details = asked === undefined ? {} : { details: { kind: asked.plural, group: asked.group } };
  const served = SERVED_KINDS.filter(({ plural }) => plural === asked?.plural).map(groupVersion);
  if (served.length > 0 && asked !== undefined && !served.includes(groupVersion(asked))) {
    const message = `${asked.plural} are served as ${served.join(" and ")}, and not as ${groupVersion(asked)}`;
    return new GantryError("not-found", message, { hint: "A newer client asks for it by itself.", ...details });
  }
  const inert = INERT_KINDS.find((one) => foreignKind(one)?.api?.plural === asked?.plural);
  if (inert !== undefined)
    return new GantryError("not-found", `nothing is served at ${path}: ${noEffectText(inert)}`, details);
  const kind = served.length === 0 ? FOREIGN_KINDS.find((one) => pluralOf(one) === asked?.plural) : undefined;
  const foreign = kind === undefined ? undefined : foreignKind(kind);
  if (foreign === undefined || asked === undefined)
    return new GantryError("not-found", `nothing is served at ${path}`, { hint: "See /api/v1 and /apis." });
  const why = foreign.noEffect === undefined ? foreign.hint : `${foreign.noEffect} (${foreign.hint})`;
  return new GantryError("not-found", `there are no ${asked.plural} here: ${why}`, details);
}

interface Collection {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

function collectionAt(path: string): Collection | undefined {
  const found = /^\/(?:api|apis\/(?<group>[^/]+))\/(?<version>[^/]+)\/(?:namespaces\/[^/]+\/)?(?<plural>[^/]+)/.exec(
    path,
  );
  const { group = "", version, plural } = found?.groups ?? {};
  return version === undefined || plural === undefined ? undefined : { group, version, plural };
}

/** As Kubernetes makes the plural of a kind: "NetworkPolicy" is one of the networkpolicies. */
function pluralOf(kind: string): string {
  const lower = kind.toLowerCase();
  if (lower === "endpoints") return lower;
  if (lower.endsWith("s")) return `${lower}es`;
  return lower.endsWith("y") ? `${lower.slice(0, -1)}ies` : `${lower}s`;
}
