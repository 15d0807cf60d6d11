import { formatSpan } from "../output/age.ts";

/** "2026-11-23T15:40:21Z (5m ago)", "… (in 20s)"; undefined where there is no time. */
export function timeAndAge(time: string | undefined, now: number): string | undefined {
  if (time === undefined || time === "") return undefined;
  const at = Date.parse(time);
  if (Number.isNaN(at)) return time;
  return `${time.replace(/\.\d+Z$/, "Z")} (${at > now ? `in ${formatSpan(at - now)}` : `${formatSpan(now - at)} ago`})`;
}
