/** age files, by the library that age's author keeps. Loaded only where something is encrypted. */
import { messageOf } from "../system/errors.ts";
import { Undecryptable } from "./problem.ts";

const NO_KEYS = "Name the key file in secrets.age.keys of the configuration; 'gantry secret keygen' makes one.";

/** Plain bytes of an age file, armoured or not. @throws Undecryptable */
export async function decryptAge(bytes: Uint8Array, keys: readonly string[]): Promise<Uint8Array> {
  if (keys.length === 0) throw new Undecryptable("is encrypted with age, and this host has no key", NO_KEYS);
  const { armor, Decrypter } = await import("age-encryption");
  const text = Buffer.from(bytes).toString("latin1");
  let raw = bytes;
  if (!text.startsWith("age-encryption.org/")) {
    try {
      raw = armor.decode(text.replace(/^ï»¿/, ""));
    } catch {
      throw new Undecryptable("its age armour is damaged", "Take the file from its origin again.");
    }
  }
  const decrypter = new Decrypter();
  for (const key of keys) decrypter.addIdentity(key);
  try {
    return await decrypter.decrypt(raw);
  } catch (error) {
    // The library's words for it; everything else it says is about the file itself.
    if (/no identity matched/.test(messageOf(error))) {
      throw new Undecryptable(
        "is encrypted with age for other keys than this host's",
        `Encrypt it for ${(await recipientsOf(keys)).join(" or ")}, or add the key to secrets.age.keys.`,
      );
    }
    throw new Undecryptable(`is a damaged age file: ${messageOf(error)}`, "Take the file from its origin again.");
  }
}

/** An armoured age file that each of `recipients` can read. @throws Error for what is no recipient */
export async function encryptAge(bytes: Uint8Array, recipients: readonly string[]): Promise<string> {
  const { armor, Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return armor.encode(await encrypter.encrypt(bytes));
}

export async function newIdentity(): Promise<{ readonly identity: string; readonly recipient: string }> {
  const { generateX25519Identity, identityToRecipient } = await import("age-encryption");
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** The public keys, which may be shown. */
export async function recipientsOf(keys: readonly string[]): Promise<string[]> {
  const { identityToRecipient } = await import("age-encryption");
  return Promise.all(keys.map((key) => identityToRecipient(key)));
}
