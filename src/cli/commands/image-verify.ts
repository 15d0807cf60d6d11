import type { VerifyResult } from "../../image/contract.ts";
import { EXIT } from "../exit.ts";
import { openImages } from "../images.ts";
import { withProgress } from "../output/progress.ts";
import { oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const verifyImages: CommandSpec = {
  summary: "Check the files of images, and repair them",
  description:
    "Reads every file of the images (default: of all) and compares it with the digest that was noted when it came.\n" +
    "What is damaged is made again from the image's layers; a damaged layer is pulled again.\n" +
    "Exits with 1 when something is damaged and was not repaired.",
  arguments: [{ syntax: "[images...]", description: "names or digests", complete: "image" }],
  options: [{ flags: "--no-repair", description: "only say what is damaged" }],
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry image verify", does: "all images" },
    { line: "gantry image verify --no-repair app:1", does: "look, and touch nothing" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const { out } = context;
  const images = await openImages(context);
  const results: VerifyResult[] = [];
  const structured = out.format === "json" || out.format === "yaml";
  const read = async (): Promise<void> => {
    for await (const result of images.verify(args, !flags.off("repair"), context.signal)) {
      results.push(result);
    }
  };
  await withProgress(() => `verifying, ${results.length} done`, read());
  if (structured) await out.structured({ items: results });
  else if (results.length === 0) out.note("No images.");
  else for (const result of results) for (const line of linesOf(result)) out.line(line);
  return results.some(({ state }) => state === "damaged") ? EXIT.failed : EXIT.ok;
}

function linesOf({ names, digest, state, findings, problem, hint, rootReplaced }: VerifyResult): string[] {
  const name = names[0] ?? digest;
  const advice =
    rootReplaced === true
      ? ["  Pods that ran on it before go on with what they have: 'gantry restart POD' gives them the repaired files."]
      : [];
  return [
    `${name}  ${state}`,
    ...findings.map((finding) => `  ${oneLine(finding)}`),
    ...(problem === undefined ? [] : [`  not repaired: ${oneLine(problem)}`]),
    ...(hint === undefined ? [] : [`  ${oneLine(hint)}`]),
    ...advice,
  ];
}
