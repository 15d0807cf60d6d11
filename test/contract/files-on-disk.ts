import { exec } from "../../src/system/exec.ts";

/** Files below `directory` on its own file system, not in what is mounted below it, that have this text. */
export async function filesOnDisk(directory: string, text: string): Promise<string[]> {
  const find = [directory, "-xdev", "-type", "f", "-exec", "grep", "-lF", "-e", text, "{}", "+"];
  const { stdout } = await exec("find", find, { okCodes: "any" });
  return stdout.split("\n").filter((line) => line !== "");
}
