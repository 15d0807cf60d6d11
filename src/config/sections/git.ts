import { z } from "zod";
import { gitSourceSchema } from "../../source/git/schema.ts";
import { parseListen } from "../listen.ts";

export const sources = z
  .array(gitSourceSchema)
  .superRefine((list, context) => {
    list.forEach(({ name }, index) => {
      if (list.findIndex((one) => one.name === name) < index)
        context.addIssue({ code: "custom", path: [index, "name"], message: `there are two sources ${name}` });
    });
  })
  .describe("Git repositories that are followed, beside the folders; in the environment as JSON.");

export const webhook = z.strictObject({
  listen: z
    .string()
    .refine((text) => parseListen(text) !== undefined, "must be ADDRESS:PORT, such as 127.0.0.1:9010")
    .optional()
    .describe(
      "Address and port where Git servers tell of pushes (POST /hooks/git/NAME), such as 127.0.0.1:9010. Default: none.",
    ),
});
