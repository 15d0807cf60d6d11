import { z } from "zod";
import { file } from "./values.ts";

export const secrets = z.strictObject({
  age: z.strictObject({
    keys: z
      .array(file)
      .describe("Files of age identities (mode 0600) that decrypt manifests: *.yaml.age, and SOPS files."),
  }),
});
