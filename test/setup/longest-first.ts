import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Those that take the longest, by far, though some are small: what others they run beside hides their length. */
const LONG = [
  "e2e/acceptance/microvm",
  "e2e/acceptance/namespace",
  "e2e/examples",
  "e2e/adoption",
  "e2e/volumes",
  "e2e/logs",
  "e2e/crash",
  "e2e/updates",
  "e2e/microvm",
  "e2e/resources",
  "e2e/readme",
  "sandbox/microvm/driver",
].map((name) => `/test/${name}.test.ts`);

/** Long files first, so that none is left to run alone in the end. Of the others, the larger first. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = LONG.findIndex((name) => moduleId.endsWith(name));
      return place < 0 ? LONG.length : place;
    };
    // The kinds of tests follow each other whatever the order of all their files.
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
