import type { PullProgress } from "../../image/contract.ts";
import type { Out } from "./out.ts";
import { formatBytes, oneLine } from "./text.ts";

export interface PullView {
  show(progress: PullProgress): void;
  /** Wipes a bar away. */
  end(): void;
}

const BAR_WIDTH = 24;
/** Elsewhere than on a terminal a line is printed at each of these parts of the whole. */
const PARTS = 4;

/** How a pull gets on, on stderr: a bar on a terminal, a line now and then elsewhere. */
export function createPullView(name: string, out: Out): PullView {
  const { stderr } = process;
  return stderr.isTTY ? bar(oneLine(name)) : lines(oneLine(name), out);
}

function bar(name: string): PullView {
  const { stderr } = process;
  let shown = false;
  const wipe = (): void => {
    if (shown) stderr.write("\r\u001b[K");
    shown = false;
  };
  process.once("exit", wipe);
  return {
    show(progress) {
      shown = true;
      stderr.write(`\r\u001b[K${`${name}  ${barText(progress)}`.slice(0, Math.max(10, stderr.columns - 1))}`);
    },
    end() {
      wipe();
      process.removeListener("exit", wipe);
    },
  };
}

function lines(name: string, out: Out): PullView {
  let said = "";
  return {
    show(progress) {
      const part = progress.totalBytes === 0 ? 0 : Math.floor((PARTS * progress.bytes) / progress.totalBytes);
      const key = progress.stage === "copying" ? `${progress.stage} ${part}` : progress.stage;
      // Waiting is over at once, most of the time.
      if (key === said || (progress.stage === "waiting" && said === "")) return;
      said = key;
      out.note(`${name}: ${wordsFor(progress)}`);
    },
    end() {},
  };
}

/** "[=======>       ]  45%  40 of 89 MiB  2/5 layers". Pure. */
export function barText(progress: PullProgress): string {
  const { stage, bytes, totalBytes, layers, totalLayers } = progress;
  if (stage !== "copying" || totalBytes === 0) return wordsFor(progress);
  const filled = Math.floor((BAR_WIDTH * bytes) / totalBytes);
  const drawn = filled >= BAR_WIDTH ? "=".repeat(BAR_WIDTH) : `${"=".repeat(filled)}>`.padEnd(BAR_WIDTH);
  const percent = `${Math.floor((100 * bytes) / totalBytes)}%`.padStart(4);
  return `[${drawn}] ${percent}  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}  ${layers}/${totalLayers} layers`;
}

function wordsFor({ stage, bytes, totalBytes, layers, totalLayers }: PullProgress): string {
  switch (stage) {
    case "waiting":
      return "waiting for other pulls";
    case "resolving":
      return "asking the registry";
    case "copying":
      return totalBytes === 0
        ? "copying"
        : `copying ${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${layers} of ${totalLayers} layers`;
    case "unpacking":
      return `unpacking ${formatBytes(totalBytes)}`;
  }
}
