/** The command line of a container. */
import type { ImageConfig } from "../../image/contract.ts";
import type { Container } from "../../manifest/index.ts";
import { GantryError } from "../../system/errors.ts";
import { expand } from "./expand.ts";

/**
 * `command` replaces the image's ENTRYPOINT and makes its CMD void; `args` replaces CMD.
 * @throws invalid-manifest when neither the manifest nor the image names a command
 */
export function argvOf(
  container: Container,
  image: ImageConfig,
  env: readonly { readonly name: string; readonly value: string }[],
): string[] {
  const values = new Map(env.map(({ name, value }) => [name, value]));
  const expanded = (texts: readonly string[] = []): string[] =>
    texts.map((text) => expand(text, (name) => values.get(name)));
  const command = expanded(container.command);
  const args = expanded(container.args);
  const argv = [
    ...(command.length > 0 ? command : image.entrypoint),
    ...(args.length > 0 || command.length > 0 ? args : image.cmd),
  ];
  if (argv.length > 0) return argv;
  throw new GantryError("invalid-manifest", `no command: image ${container.image} has neither ENTRYPOINT nor CMD`, {
    hint: `Set command in container ${container.name}.`,
  });
}
