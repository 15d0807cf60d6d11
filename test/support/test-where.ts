import { test } from "vitest";

/**
 * `test` where `applies`, else nothing at all. For what does not exist on a driver or a command, which is no test left
 * out: `test.skipIf` is for tools that this machine lacks, and shows up in the count.
 */
export function testWhere(applies: boolean): (name: string, body: () => void | Promise<void>) => void {
  return (name, body) => {
    if (applies) test(name, body);
  };
}
