import picocolors from "picocolors";

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours on a terminal only, and never against NO_COLOR (no-color.org), TERM=dumb or --no-color. */
export function colorsFor(stream: { readonly isTTY?: boolean }, allowed: boolean, env: NodeJS.ProcessEnv): Colors {
  const wanted = allowed && stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  return picocolors.createColors(wanted);
}

/** The colour of a pod's STATUS: green runs, yellow is on its way, red needs a look. */
export function paintStatus(colors: Colors, status: string, ready: boolean): (text: string) => string {
  if (status === "Running") return ready ? colors.green : colors.yellow;
  if (status === "Completed" || status === "Succeeded") return colors.dim;
  if (/^(Pending|Terminating|ContainerCreating|PodInitializing)$|^Init:\d/.test(status)) return colors.yellow;
  return colors.red;
}
