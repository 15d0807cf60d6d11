import { GantryError } from "../../system/errors.ts";

/** A file here, or one in a container. */
export type Place =
  | { readonly type: "here"; readonly path: string }
  | { readonly type: "pod"; readonly pod: string; readonly path: string };

/** "POD:PATH" or "NAMESPACE/POD:PATH"; whatever begins like a path is one. Pure. @throws GantryError usage */
export function parsePlace(text: string): Place {
  const colon = text.indexOf(":");
  if (colon < 0 || /^\.{0,2}\//.test(text)) {
    if (text === "") throw new GantryError("usage", "a path is empty", { hint: "gantry cp web:/etc/hosts ." });
    return { type: "here", path: text };
  }
  const [pod, path] = [text.slice(0, colon), text.slice(colon + 1)];
  if (pod === "")
    throw new GantryError("usage", `'${text}' names no pod before the ':'`, { hint: `A file here: ./${text}` });
  if (path === "")
    throw new GantryError("usage", `'${text}' names no path after the ':'`, { hint: `For example: ${pod}:/tmp` });
  return { type: "pod", pod, path };
}

/** Where a path lies, and what it is called there; "dir/." means what is in dir. Pure. */
export function split(path: string): { readonly parent: string; readonly name: string | undefined } {
  const bare = path.replace(/\/+$/, "");
  const slash = bare.lastIndexOf("/");
  const name = bare.slice(slash + 1);
  if (bare === "" || name === "." || name === "..") return { parent: path, name: undefined };
  return { parent: slash < 0 ? "." : slash === 0 ? "/" : bare.slice(0, slash), name };
}
