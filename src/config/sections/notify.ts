import { z } from "zod";
import { absolutePath, file } from "./values.ts";

/** Who is told how a synchronisation of a Git source went. */
export const notify = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: "must be an http(s) URL" })
    .optional()
    .describe("Where the result of a synchronisation is posted to, as JSON."),
  secretFile: file
    .optional()
    .describe("File (mode 0600) with the secret that signs what is posted: X-Hub-Signature-256, as GitHub does it."),
  command: z
    .array(z.string().min(1))
    .describe("Program and arguments that are run with each result: JSON on stdin, GANTRY_SYNC_* in the environment."),
  statusDirectory: absolutePath
    .optional()
    .describe("Folder in which SOURCE.json tells the last result of each source."),
  results: z
    .enum(["all", "failures"])
    .describe("Which results are told: all, or failures alone (and none that went well)."),
  tries: z.int().min(1).max(10).describe("How often posting is tried before it is given up."),
});
