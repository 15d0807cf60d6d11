/** Names, hashes and owners of children, as Kubernetes gives them. Pure. */
import { hashOf } from "../hash.ts";
import type { PodTemplate } from "../manifest/index.ts";
import type { Live, Owner, OwnerReference } from "./contract.ts";

/** Without vowels and what looks alike, so that no name is a word (k8s.io/apimachinery/pkg/util/rand). */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Each character as one of the safe ones (rand.SafeEncodeString). */
function safe(text: string): string {
  return [...text].map((char) => ALPHABET[char.charCodeAt(0) % ALPHABET.length]).join("");
}

/** Five characters. @param random gives numbers from 0 up to 1 */
export function suffixOf(random: () => number): string {
  return Array.from({ length: 5 }, () => ALPHABET[Math.floor(random() * ALPHABET.length)]).join("");
}

/** The pod-template-hash: of 32 bits, in safe characters. */
export function templateHash(template: PodTemplate): string {
  return safe(String(Number.parseInt(hashOf(template).slice(0, 8), 16)));
}

/** Two templates ask for the same pods. */
export function sameTemplate(a: PodTemplate, b: PodTemplate): boolean {
  return hashOf(a) === hashOf(b);
}

const LONGEST_NAME = 63;

/** "<base>-<suffix>", the base cut where the whole would not be a DNS label. */
export function childName(base: string, suffix: string): string {
  return `${base.slice(0, LONGEST_NAME - suffix.length - 1)}-${suffix}`;
}

export function ownerReference({ object, uid }: Live<Owner>): OwnerReference {
  const { apiVersion, kind } = object;
  return { apiVersion, kind, name: object.metadata.name, uid, controller: true, blockOwnerDeletion: true };
}

/** Who controls an object; undefined for one that a manifest has. */
export function controllerOf(object: {
  readonly metadata: {
    readonly ownerReferences?:
      | readonly {
          readonly kind: string;
          readonly name: string;
          readonly uid: string;
          readonly controller?: boolean | undefined;
        }[]
      | undefined;
  };
}): { readonly kind: string; readonly name: string; readonly uid: string } | undefined {
  const found = object.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (found === undefined) return undefined;
  return { kind: found.kind, name: found.name, uid: found.uid };
}
