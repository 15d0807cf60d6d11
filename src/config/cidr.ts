import { isIPv4 } from "node:net";

/** IPv4 ranges as numbers. */
export interface Cidr {
  /** The network address as an unsigned 32-bit number. */
  readonly base: number;
  readonly prefix: number;
}

/** The address as an unsigned 32-bit number; undefined unless it is dotted IPv4. */
export function ipv4ToNumber(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function numberToIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

const sizeOf = (cidr: Cidr): number => 2 ** (32 - cidr.prefix);

/** Undefined unless it is an IPv4 CIDR; host bits are cleared. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  const value = ipv4ToNumber(address);
  if (value === undefined || rest.length > 0 || !/^\d{1,2}$/.test(length) || Number(length) > 32) return undefined;
  const prefix = Number(length);
  return { base: value - (value % 2 ** (32 - prefix)), prefix };
}

export function formatCidr(cidr: Cidr): string {
  return `${numberToIpv4(cidr.base)}/${cidr.prefix}`;
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  return a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a);
}

export function cidrContains(cidr: Cidr, address: string): boolean {
  const value = ipv4ToNumber(address);
  return value !== undefined && value >= cidr.base && value < cidr.base + sizeOf(cidr);
}

/** How many pods fit: all addresses but network, gateway and broadcast. */
export function podCapacity(cidr: Cidr): number {
  return Math.max(0, sizeOf(cidr) - 3);
}

/** Why `text` can't be the pods' range; undefined when it can. */
export function cidrProblem(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return "must be an IPv4 range such as 10.77.0.0/16";
  if (formatCidr(cidr) !== text) return `has host bits set; the range is written ${formatCidr(cidr)}`;
  if (cidr.prefix < 8 || cidr.prefix > 29) return "must have a prefix from /8 to /29";
  return undefined;
}
