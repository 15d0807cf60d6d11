/** Which files are encrypted, by what stands in them. Pure. */

/** The first line of every file of age (C2SP age.md), and of its armour. */
const AGE_HEADER = "age-encryption.org/v1\n";
const AGE_ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";

export type Encryption = "age" | "sops";

/** How the bytes of a manifest file are encrypted; undefined for one in clear. Cheap: it looks for words. */
export function encryptionOf(bytes: Uint8Array): Encryption | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = buffer.subarray(0, 4096).toString("latin1");
  if (start.startsWith(AGE_HEADER) || start.replace(/^ï»¿/, "").trimStart().startsWith(AGE_ARMOR)) return "age";
  // Both are there in every file that SOPS wrote, also where no value is encrypted: its MAC is.
  if (!buffer.includes("ENC[AES256_GCM,")) return undefined;
  const text = buffer.toString("latin1");
  // At the top level: one that only quotes such a file, as a ConfigMap may, is none.
  const block = text.trimStart().startsWith("{") ? /["\s{,]sops"?\s*:/ : /^"?sops"?\s*:/m;
  if (!block.test(text)) return undefined;
  return "sops";
}
