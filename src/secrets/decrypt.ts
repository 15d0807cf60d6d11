import { decryptAge } from "./age.ts";
import type { Encryption } from "./detect.ts";
import { decryptSops } from "./sops.ts";

/** What a file says in clear. @throws Undecryptable */
export async function decrypt(bytes: Uint8Array, encryption: Encryption, keys: readonly string[]): Promise<Uint8Array> {
  switch (encryption) {
    case "age":
      return decryptAge(bytes, keys);
    case "sops": {
      const text = new TextDecoder("utf-8").decode(bytes);
      return Buffer.from(await decryptSops(text, (armoured) => decryptAge(Buffer.from(armoured), keys)));
    }
  }
}
