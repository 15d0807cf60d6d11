import { formatSpan } from "../../age.ts";

export { formatSpan };

/** How long ago an RFC 3339 time was; "<unknown>" where there is none. */
export function formatAge(time: string | undefined, now: number): string {
  return time === undefined ? "<unknown>" : formatSpan(now - Date.parse(time));
}
