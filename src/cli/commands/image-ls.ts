import type { Image } from "../../image/contract.ts";
import { openImages } from "../images.ts";
import { formatSpan } from "../output/age.ts";
import { renderTable } from "../output/table.ts";
import { formatBytes } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const listImages: CommandSpec = {
  summary: "List the images on this host",
  outputs: ["table", "wide", "json", "yaml"],
  examples: [{ line: "gantry image ls -o wide", does: "with full digests" }],
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out } = context;
  const images = await (await openImages(context)).list();
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ items: images });
    return undefined;
  }
  if (images.length === 0) {
    out.note("No images. Bring one in with 'gantry image import FILE NAME'.");
    return undefined;
  }
  const wide = out.format === "wide";
  const rows = images.flatMap((image) => {
    const digest = wide ? image.digest : image.digest.replace(/^sha256:/, "").slice(0, 12);
    const rest = (name: string): string[] => [
      digest,
      image.architecture,
      formatBytes(image.sizeBytes),
      formatSpan(context.now() - image.createdAt),
      signedBy(image, name),
    ];
    return (image.names.length === 0 ? ["<none>"] : image.names).map((name) => [name, ...rest(name)]);
  });
  rows.sort(([a = ""], [b = ""]) => (a < b ? -1 : a > b ? 1 : 0));
  out.write(renderTable(["NAME", "DIGEST", "ARCH", "SIZE", "CREATED", "SIGNED BY"], rows));
  return undefined;
}

/** What was imported carries no signatures; what was pulled, those that the policy asked for. */
function signedBy({ origins }: Image, name: string): string {
  const signers = origins.find((origin) => origin.name === name)?.signers ?? [];
  return signers.length === 0 ? "<none>" : signers.join(", ");
}
