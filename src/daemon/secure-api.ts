import { accessDir } from "../api/access/keys.ts";
import type { SecureOptions } from "../api/server/secure.ts";
import { type Config, parseListen } from "../config/index.ts";
import type { Paths } from "../system/paths.ts";

/** How the API is served over TLS; undefined where `api.listen` is not set. */
export function secureApi(
  { api, node }: Config,
  paths: Paths,
  onTrouble: (message: string) => void,
  onStream: () => void,
): SecureOptions | undefined {
  const listen = api.listen === undefined ? undefined : parseListen(api.listen);
  if (listen === undefined) return undefined;
  return { ...listen, dir: accessDir(paths), names: [node.name, ...api.names], onTrouble, onStream };
}
