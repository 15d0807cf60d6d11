const SHOW_AFTER_MS = 1000;
const REDRAW_MS = 1000;

/**
 * Shows "TEXT … 3s" on a terminal's stderr while `work` takes longer than a second, and wipes it away at the end.
 * Prints nothing when stderr is not a terminal.
 */
export async function withProgress<T>(text: string | (() => string), work: Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return work;
  const started = Date.now();
  let shown = false;
  const timer = setInterval(() => {
    const elapsed = Date.now() - started;
    if (elapsed < SHOW_AFTER_MS) return;
    shown = true;
    const said = typeof text === "string" ? text : text();
    const line = `${said} … ${Math.floor(elapsed / 1000)}s`;
    stderr.write(`\r\u001b[K${line.slice(0, Math.max(10, stderr.columns - 1))}`);
  }, REDRAW_MS);
  timer.unref();
  const wipe = (): void => {
    clearInterval(timer);
    if (shown) stderr.write("\r\u001b[K");
    shown = false;
  };
  process.once("exit", wipe);
  try {
    return await work;
  } finally {
    wipe();
    process.removeListener("exit", wipe);
  }
}
