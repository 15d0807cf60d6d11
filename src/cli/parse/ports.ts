import { GantryError } from "../../system/errors.ts";

/** "8080:80", "80", ":80" or "8080:http", read. */
export interface PortPair {
  /** 0: whichever is free. */
  readonly local: number;
  /** A number, or the name that a container's manifest gives it. */
  readonly remote: number | string;
}

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/** @throws GantryError usage */
export function parsePortPair(text: string): PortPair {
  const [first = "", second, ...rest] = text.split(":");
  const bad = (why: string): GantryError =>
    new GantryError("usage", `'${text}' is not a pair of ports: ${why}`, {
      hint: "For example 8080:80, 80 (the same here), :80 (a free one here) or 8080:http (by its name).",
    });
  if (rest.length > 0) throw bad("it has more than one ':'");
  const remoteText = second ?? first;
  const remote = /^\d+$/.test(remoteText) ? Number(remoteText) : remoteText;
  if (typeof remote === "string" ? !NAME.test(remote) || remote.length > 15 : remote < 1 || remote > 65_535) {
    throw bad(
      remoteText === ""
        ? "the pod's port is missing"
        : `'${remoteText}' is neither a port (1 to 65535) nor a name of one`,
    );
  }
  if (second === undefined) return { local: typeof remote === "number" ? remote : 0, remote };
  const local = first === "" ? 0 : /^\d+$/.test(first) ? Number(first) : -1;
  if (local < 0 || local > 65_535) throw bad(`'${first}' is not a port (0 to 65535)`);
  return { local, remote };
}
