import type { CommandSpec } from "../spec.ts";
import { decryptCommand } from "./secret-decrypt.ts";
import { encryptCommand } from "./secret-encrypt.ts";
import { keygen } from "./secret-keygen.ts";

export const secret: CommandSpec = {
  summary: "Encrypt Secrets for the manifest folder, with age",
  description:
    "A Secret in a file NAME.yaml.age can lie in a repository: the daemon decrypts it in memory with the keys of the\n" +
    "setting secrets.age.keys. SOPS files with age recipients are read, too; 'sops' itself writes and edits those.",
  outputs: [],
  examples: [
    {
      line: "gantry secret keygen --output /etc/gantry/age.key",
      does: "make this host's key, and print its public half",
    },
    { line: "gantry secret encrypt db.yaml -r age1… --output db.yaml.age", does: "for whoever has that key" },
    { line: "gantry secret decrypt db.yaml.age", does: "print it in clear" },
  ],
  subcommands: { keygen, encrypt: encryptCommand, decrypt: decryptCommand },
};
