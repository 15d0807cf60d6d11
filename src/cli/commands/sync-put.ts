/** Has the daemon take up a source that was written, and fetch it. */
import { isGantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { isAbsentDaemon } from "../images.ts";
import { withProgress } from "../output/progress.ts";
import { sourceLine } from "../output/source-table.ts";

/** @param done what became of it, such as "added" @throws GantryError as the fetch fails; the source is followed all the same */
export async function putIntoForce(
  context: Context,
  name: string,
  done: string,
  file: string | undefined,
): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const isData = out.format === "json" || out.format === "yaml";
  try {
    await client.reloadSources();
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    if (isData) await out.structured({ name, file });
    else out.line(`source/${name} ${done}; it is followed when the daemon starts`);
    return;
  }
  const before = await client.getSource(name);
  // Nothing new comes while it is suspended, and that is no error here.
  const { status } =
    before.sync === "Suspended"
      ? { status: before }
      : await withProgress("fetching", client.syncSource(name, {}, context.signal)).catch((error: unknown) => {
          out.note(`source/${name} ${done}, and fetched again and again; for now:`);
          throw error;
        });
  if (isData) await out.structured({ name, file, status });
  else out.line(`source/${name} ${done}: ${sourceLine(status)}`);
}
