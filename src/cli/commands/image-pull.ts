import { readFile } from "node:fs/promises";
import type { Credential, Image } from "../../image/contract.ts";
import { GantryError, isGantryError, messageOf, toGantryError } from "../../system/errors.ts";
import { exitCodeOf } from "../exit.ts";
import { type Images, openImages } from "../images.ts";
import { createPullView } from "../output/pull-view.ts";
import { formatBytes } from "../output/text.ts";
import { reportError } from "../report.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const pullImages: CommandSpec = {
  summary: "Fetch images from their registries",
  description:
    "Fetches what the registry has under the name now; layers that are here already are not fetched again.\n" +
    "Without a password of its own it uses auth.json and registries.d/*.json beside Gantry's config.yaml.\n" +
    "Mirrors, insecure registries and certificates: registries.conf and certs.d there, else those in /etc/containers.",
  arguments: [{ syntax: "<images...>", description: "names with a tag or a digest", complete: "image" }],
  options: [
    { flags: "-u, --username <name>", description: "log in as this user; the password comes from stdin" },
    { flags: "--password-stdin", description: "read the password from stdin" },
    {
      flags: "--authfile <file>",
      description: "passwords, as 'skopeo login --authfile' writes them",
      complete: "file",
    },
  ],
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry image pull registry.example.com/app:1", does: "one image" },
    { line: "gantry image pull --authfile auth.json registry.example.com/app:1", does: "with a password" },
  ],
  run,
};

async function run(call: Call): Promise<number> {
  const { args, context } = call;
  const { out } = context;
  const passwords = await readPasswords(call);
  const images = await openImages(context);
  const pulled: Image[] = [];
  let exitCode = 0;
  for (const name of args) {
    try {
      const image = await pullOne(images, name, await passwords(name), call);
      pulled.push(image);
      if (out.format !== "json" && out.format !== "yaml") out.line(lineOf(name, image));
    } catch (error) {
      const told = toGantryError(error);
      if (args.length === 1 || exitCodeOf(told.code) === 4 || context.signal.aborted) throw told;
      exitCode = Math.max(exitCode, await reportError(told, out, context.verbose));
    }
  }
  if (out.format === "json" || out.format === "yaml") {
    if (pulled.length > 0 || args.length > 1) await out.structured(args.length === 1 ? pulled[0] : { items: pulled });
  }
  return exitCode;
}

async function pullOne(
  images: Images,
  name: string,
  credentials: readonly Credential[],
  { context }: Call,
): Promise<Image> {
  const view = createPullView(name, context.out);
  try {
    for await (const step of images.pull(name, credentials, context.signal)) {
      if (step.type === "image") return step.image;
      view.show(step.progress);
    }
  } finally {
    view.end();
  }
  throw new GantryError("daemon-unreachable", "the daemon broke off in the middle of the pull", {
    hint: "Ask again: what has arrived is kept.",
  });
}

function lineOf(name: string, image: Image): string {
  const origin = image.origins.find((one) => one.name === name) ?? image.origins.at(-1);
  return `${origin?.name ?? name}  ${origin?.digest ?? image.digest}  ${formatBytes(image.sizeBytes)}`;
}

/** The passwords that the flags give for a name. */
async function readPasswords({ flags }: Call): Promise<(name: string) => Promise<readonly Credential[]>> {
  const username = flags.text("username");
  const file = flags.text("authfile");
  if ((username !== undefined) !== flags.on("passwordStdin")) {
    throw new GantryError("usage", "--username and --password-stdin go together", {
      hint: "For example: gantry image pull -u joe --password-stdin registry.example.com/app:1 < password",
    });
  }
  if (username !== undefined) {
    const password = (await readAll(process.stdin)).replace(/\r?\n$/, "");
    return async () => [{ username, password, from: "the command line" }];
  }
  if (file === undefined) return async () => [];
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new GantryError("not-found", `cannot read ${file}: ${messageOf(cause)}`, { cause });
  });
  const { credentialsFor, parseDockerConfig } = await import("../../image/pull/credentials.ts");
  const entries = parseDockerConfig(text, file);
  return async (name) => {
    try {
      return credentialsFor(name, entries, file);
    } catch (error) {
      if (isGantryError(error, "name-invalid")) return []; // said when it is pulled
      throw error;
    }
  };
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}
