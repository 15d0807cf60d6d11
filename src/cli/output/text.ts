export { formatBytes } from "../../bytes.ts";

/**
 * Makes text from elsewhere (an app's last words, a file name) fit for one line on a terminal: a newline becomes a
 * space, and other control characters, which could move the cursor or recolour the screen, become "\u{fffd}".
 */
export function oneLine(text: string): string {
  return printable(text.replace(/\s*[\r\n]+\s*/g, " ").trim());
}

/** Keeps newlines and tabs, and replaces every other control character. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/\r\n/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\u{fffd}");
}

/** "1 pod", "2 pods". */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
