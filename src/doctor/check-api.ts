import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts } from "./facts.ts";

const NAME = "API over TLS";
const DAY_MS = 86_400_000;
/** The daemon renews it 30 days before its end: less than this means that it could not. */
const SOON_MS = 14 * DAY_MS;

export function checkApi({ daemon: { api, answers }, now }: HostFacts): Check[] {
  if (api === undefined) return [];
  const { listen, port, certificateEnds, openssl } = api;
  if (!openssl && certificateEnds === undefined)
    return [fail(NAME, "openssl, which makes its keys, is not installed", "apt install openssl")];
  if (port === "taken") {
    return [
      fail(NAME, `somebody else listens at ${listen}`, "See who ('ss -ltnp'), or choose another port in api.listen."),
    ];
  }
  if (answers && port === "free")
    return [
      warn(NAME, `api.listen is ${listen}, and the daemon does not listen there`, "Restart it; no pod is disturbed."),
    ];
  const days = certificateEnds === undefined ? undefined : Math.floor((certificateEnds - now) / DAY_MS);
  if (certificateEnds !== undefined && certificateEnds - now < SOON_MS) {
    const when = (days ?? 0) < 0 ? "has ended" : `ends in ${days} days`;
    return [
      warn(NAME, `the server's certificate ${when}`, "Restart the daemon: it makes a new one; no pod is disturbed."),
    ];
  }
  return [ok(NAME, `${listen}${days === undefined ? "" : `, certificate good for ${days} days`}`)];
}
