import { EXIT } from "../exit.ts";
import { withProgress } from "../output/progress.ts";
import { oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const doctor: CommandSpec = {
  summary: "Check this host, and say how to mend it",
  description:
    "Looks at the kernel, the tools and their versions, cgroups, the network and KVM. Changes nothing.\n" +
    "Exits with 1 when something that Gantry needs is missing.",
  outputs: ["table", "json", "yaml"],
  ownHost: true,
  examples: [{ line: "gantry doctor", does: "before the first pod, or when one does not start" }],
  run,
};

async function run({ context }: Call): Promise<number> {
  const { out, paths, signal } = context;
  const { diagnose } = await import("../../doctor/index.ts");
  const findings = await withProgress("looking at this host", diagnose({ paths, signal }));
  const failed = findings.some(({ status }) => status === "error");
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ ok: !failed, checks: findings });
    return failed ? EXIT.failed : EXIT.ok;
  }
  const { green, yellow, red, cyan } = out.colors;
  const marks = { ok: green("ok     "), warning: yellow("warning"), error: red("error  ") };
  for (const { name, status, message, fix } of findings) {
    out.line(`${marks[status]}  ${name}: ${oneLine(message)}`);
    if (fix !== undefined && status !== "ok") out.line(`         ${cyan("mend:")} ${oneLine(fix)}`);
  }
  return failed ? EXIT.failed : EXIT.ok;
}
