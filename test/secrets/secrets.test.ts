import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isScalar, parseDocument } from "yaml";
import {
  createOpener,
  decrypt,
  encryptAge,
  encryptionOf,
  newIdentity,
  parseBytes,
  readKeys,
  Undecryptable,
} from "../../src/secrets/index.ts";
import { parseOpened } from "../../src/secrets/manifest.ts";
import { macText } from "../../src/secrets/sops-text.ts";
import { createFolderSource, memoryLastGood } from "../../src/source/index.ts";
import { exec } from "../../src/system/exec.ts";
import { EVERYTHING, FLUX, OLDER } from "./vectors.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "gantry-secrets-"));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

const SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";
const clear = async (text: string, ...keys: string[]): Promise<string> => {
  const bytes = Buffer.from(text);
  const encryption = encryptionOf(bytes);
  if (encryption === undefined) throw new Error("not encrypted");
  return Buffer.from(await decrypt(bytes, encryption, keys)).toString();
};
/** What is wrong, and what to do about it. */
const failure = async (text: string, ...keys: string[]): Promise<string> => {
  const error = await clear(text, ...keys).catch((thrown: unknown) => thrown);
  if (!(error instanceof Undecryptable)) throw error;
  return `${error.line}: ${error.message} | ${error.hint}`;
};

describe("SOPS", () => {
  test("files that sops wrote are read, and every other line stays in its place", async () => {
    const lines = (await clear(FLUX.text, FLUX.key)).split("\n");
    expect(lines).toHaveLength(FLUX.text.split("\n").length);
    expect(lines.slice(0, 7)).toEqual(FLUX.text.split("\n").slice(0, 7));
    expect(lines[7]).toMatch(/^ {2}key: "[^"]+"$/);
    expect(lines.slice(8).join("")).toBe("");
    const other = FLUX.text.replace("^(data|stringData)$", "^(da.+|string[Dd]ata)$");
    expect((await clear(other, FLUX.key)).split("\n").slice(0, 8)).toEqual(lines.slice(0, 8));
    expect(await clear(EVERYTHING.text, EVERYTHING.key)).toMatch(/^secrets:\n {4}SOME SECRET: "[^"]+"\n/);
    expect(await clear(OLDER.text, OLDER.key)).toContain('\nstringData:\n  key: "value"\n');
  });

  test.each([
    ["a changed value in clear", FLUX.text.replace("name: global", "name: other"), FLUX.key, /MAC does not match/],
    [
      "a value put elsewhere",
      FLUX.text.replace("  key: ENC", "  yek: ENC"),
      FLUX.key,
      /^8: the value of stringData.yek/,
    ],
    ["a damaged value", FLUX.text.replace("data:5d9W", "data:5d9X"), FLUX.key, /^8: the value of stringData.key/],
    [
      "a value in clear where none may be",
      FLUX.text.replace(/key: ENC.*/, "key: mine"),
      FLUX.key,
      /stringData.key is not/,
    ],
    ["a later date", FLUX.text.replace("2025-07-06", "2026-07-06"), FLUX.key, /lastmodified was changed/],
    ["no MAC", FLUX.text.replace(/ {2}mac: .*\n/, ""), FLUX.key, /sops block is damaged/],
    ["another key", FLUX.text, EVERYTHING.key, /for other keys than this host's \| Encrypt it for age106dn94/],
    ["no key", FLUX.text, undefined, /this host has no key \| Name the key file in secrets\.age\.keys/],
    [
      "an expression without end",
      FLUX.text.replace("kind:", `${"a".repeat(60)}!: x\nkind:`).replace("^(data|stringData)$", "^(a+)+$"),
      FLUX.key,
      /regular expression that takes too long/,
    ],
    [
      "no expression",
      FLUX.text.replace("^(data|stringData)$", "(((a"),
      FLUX.key,
      /regular expression that can't be read/,
    ],
    ["PGP alone", FLUX.text.replace(/ {2}age:\n(.*\n)*? {2}last/, "  last"), FLUX.key, /no PGP and no cloud keys/],
  ])("%s is refused", async (_name, text, key, message) => {
    expect(await failure(text, ...(key === undefined ? [] : [key]))).toMatch(message);
  });

  test.each([
    ["1.50", "1.5"],
    ["1e21", "1000000000000000000000"],
    ["1e-7", "0.0000001"],
    ["-2.5e-3", "-0.0025"],
    ["0x10", "16"],
    ["12345678901234567890", "12345678901234567890"],
    ["true", "True"],
    ["2020-01-02", "2020-01-02T00:00:00Z"],
    ['"2020-01-02"', "2020-01-02"],
  ])("the MAC is over %s as %s, as Go prints it", (text, expected) => {
    const node = parseDocument(text).contents;
    expect(isScalar(node) && macText(node)).toBe(expected);
  });
});

test("what is encrypted is known by its content; a file that only quotes such a file is in clear", () => {
  const kindOf = (text: string) => encryptionOf(Buffer.from(text));
  expect(kindOf(FLUX.text)).toBe("sops");
  expect(kindOf('{"data": "ENC[AES256_GCM,data:x]",\n\t"sops": {}}')).toBe("sops");
  expect(kindOf("age-encryption.org/v1\n-> X25519 x")).toBe("age");
  expect(kindOf(`data:\n  f: |\n${FLUX.text.replaceAll(/^/gm, "    ")}`)).toBeUndefined();
  expect(kindOf(SECRET)).toBeUndefined();
});

describe("age", () => {
  test("files of age itself are read, with armour and without; its own age reads ours", async () => {
    const { identity, recipient } = await newIdentity();
    await writeFile(join(scratch, "key"), `${identity}\n`, { mode: 0o600 });
    await writeFile(join(scratch, "plain"), SECRET);
    for (const flags of [[], ["--armor"]]) {
      const file = join(scratch, `secret${flags.length}.yaml.age`);
      await exec("age", [...flags, "-r", recipient, "-o", file, join(scratch, "plain")]);
      const bytes = await readFile(file);
      expect(encryptionOf(bytes)).toBe("age");
      expect(Buffer.from(await decrypt(bytes, "age", [identity])).toString()).toBe(SECRET);
    }
    const input = await encryptAge(Buffer.from(SECRET), [recipient]);
    expect((await exec("age", ["-d", "-i", join(scratch, "key")], { input })).stdout).toBe(SECRET);
  });

  test("a damaged file and a wrong key are told apart", async () => {
    const { identity, recipient } = await newIdentity();
    const text = await encryptAge(Buffer.from(SECRET), [recipient]);
    expect(await failure(text, EVERYTHING.key)).toMatch(/for other keys/);
    const lines = text.split("\n");
    const at = lines.length - 4;
    lines[at] = (lines[at] ?? "").replace(/^./, (char) => (char === "A" ? "B" : "A"));
    expect(await failure(lines.join("\n"), identity)).toMatch(/damaged/);
  });

  test("only Secrets may be in it, and what is wrong with it is told without what it says", async () => {
    const pod =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: localhost/a:1}]}\n";
    const one = (text: string) => parseOpened("s.yaml.age", Buffer.from(text), Buffer.from(""), "age");
    expect(one(SECRET).objects).toHaveLength(1);
    expect(one(pod)).toMatchObject({
      objects: [],
      problems: [{ message: expect.stringMatching(/^a Pod can't be encrypted/) }],
    });
    for (const text of [
      "hunter2: [",
      `${SECRET}hunter2: hunter2\n`,
      SECRET.replace("{password", "[{password"),
      "hunter2",
    ]) {
      const { problems } = one(text);
      expect(problems.length).toBeGreaterThan(0);
      expect(JSON.stringify(problems)).not.toContain("hunter2");
    }
  });
});

describe("several documents and types, as sops encrypts them", () => {
  const key = randomBytes(32);
  const seal = (plain: string, path: string, type: string): string => {
    const iv = randomBytes(32);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    cipher.setAAD(Buffer.from(path));
    const data = Buffer.concat([cipher.update(plain), cipher.final()]).toString("base64");
    const tag = cipher.getAuthTag().toString("base64");
    return `ENC[AES256_GCM,data:${data},iv:${iv.toString("base64")},tag:${tag},type:${type}]`;
  };
  /** @param values what the MAC is over, in order */
  const block = async (recipient: string, values: string[], first = ""): Promise<string> => {
    const armoured = (await encryptAge(key, [recipient])).trimEnd().split("\n").join("\n        ");
    const mac = createHash("sha512").update(first, "hex").update(values.join("")).digest("hex").toUpperCase();
    const date = "2026-01-01T00:00:00Z";
    return `sops:\n  age:\n    - enc: |\n        ${armoured}\n  lastmodified: "${date}"\n  mac: ${seal(mac, date, "str")}\n  encrypted_regex: ^(data|stringData|env)$\n`;
  };
  const values = ["v1", "ConfigMap", "c", "on", "v1", "Secret", "s", 'x: "é\n# y', "True", "7"];
  const documents = (sops: string): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nmode: "on"\n${sops}---\n` +
    `apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  a: ${seal('x: "é\n# y', "stringData:a:", "str")} # kept\n` +
    `  b: ${seal("True", "stringData:b:", "bool")}\n  c:\n    - ${seal("7", "stringData:c:", "int")}\n  d: null\n${sops}`;

  test("are read", async () => {
    const { identity, recipient } = await newIdentity();
    const lines = (await clear(documents(await block(recipient, values)), identity))
      .split("\n")
      .filter((line) => line !== "");
    expect(lines.slice(-6)).toEqual([
      "stringData:",
      '  a: "x: \\"é\\n# y" # kept',
      "  b: true",
      "  c:",
      "    - 7",
      "  d: null",
    ]);
  });

  test("and a MAC over encrypted values alone is another one", async () => {
    const { identity, recipient } = await newIdentity();
    const start = createHash("sha256").update("sops").digest("hex");
    const sops = `${await block(recipient, ['x: "é\n# y', "True", "7"], start)}  mac_only_encrypted: true\n`;
    expect(await clear(documents(sops), identity)).toContain("b: true");
    expect(
      await failure(documents(sops.replace("mac_only_encrypted: true", "mac_only_encrypted: false")), identity),
    ).toMatch(/MAC/);
  });

  test("an encrypted value in anything but a Secret is refused, what is in clear beside it is not", async () => {
    const { identity, recipient } = await newIdentity();
    const pod = (env: string): string =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: a\n      image: localhost/a:1\n      env:\n        - name: A\n          value: ${env}\n`;
    const secret = `---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  a: ${seal("x", "stringData:a:", "str")}\n`;
    const file = join(scratch, "key");
    await writeFile(file, identity, { mode: 0o600 });
    const read = async (text: string) => {
      const { objects, problems } = await parseBytes("f.yaml", Buffer.from(text), [file]);
      return [
        objects.map(({ object }) => object.kind),
        problems.map(({ place, message }) => `${place.line}: ${message}`),
      ];
    };
    const words = ["v1", "Pod", "p", "a", "localhost/a:1"];
    const one = `${await block(recipient, [...words, "A", "e", "v1", "Secret", "s", "x"])}`;
    const sealed = `          value: ${seal("e", "spec:containers:env:value:", "str")}`;
    const name = `        - name: ${seal("A", "spec:containers:env:name:", "str")}`;
    const text = `${pod("e")
      .replace(/.*value: e/, sealed)
      .replace(/.*- name: A/, name)}${one}${secret}${one}`;
    expect(await read(text)).toEqual([["Secret"], [expect.stringMatching(/^1: a Pod can't be encrypted/)]]);
    const plain = (await block(recipient, [...words, "A", "e", "v1", "Secret", "s", "x"])).replace("|env", "");
    expect(await read(`${pod("e")}${plain}${secret}${plain}`)).toEqual([["Pod", "Secret"], []]);
  });
});

test("a key file that others may read, one that is missing, and one that is none", async () => {
  const file = join(scratch, "key");
  expect(() => readKeys([file])).toThrow(/is not there/);
  await writeFile(file, `# created\n${FLUX.key}\n`, { mode: 0o600 });
  expect(readKeys([file, file])).toEqual([FLUX.key]);
  await chmod(file, 0o640);
  expect(() => readKeys([file])).toThrow(/has mode 0640: others may read/);
  await writeFile(join(scratch, "other"), "hunter2\n", { mode: 0o600 });
  expect(() => readKeys([join(scratch, "other")])).toThrow(/other:1: this is no age identity/);
});

test("a folder: read when the key comes, kept when the file breaks, never in the store, and held without the key", async () => {
  const { identity, recipient } = await newIdentity();
  const key = join(scratch, "key");
  const folder = join(scratch, "manifests");
  await exec("mkdir", [folder]);
  const file = join(folder, "db.yaml.age");
  await writeFile(file, await encryptAge(Buffer.from(SECRET), [recipient]));
  const stored: string[] = [];
  const lastGood = memoryLastGood();
  const spying = { ...lastGood, put: (...args: Parameters<typeof lastGood.put>) => void stored.push(args[2]) };
  const source = createFolderSource({ path: folder, lastGood: spying, opener: createOpener([key]) });
  await source.start(() => {});
  try {
    const closed = await source.read();
    expect(closed).toMatchObject({ objects: [], held: expect.stringContaining("can't be decrypted") });
    expect(closed.problems[0]?.message).toMatch(/key file .* is not there/);
    await writeFile(key, `${identity}\n`, { mode: 0o600 });
    const open = await source.read();
    expect(open).toMatchObject({ problems: [], held: undefined });
    expect(open.objects[0]?.object).toMatchObject({ kind: "Secret", data: { password: btoa("hunter2") } });
    await writeFile(file, await encryptAge(Buffer.from(SECRET), [(await newIdentity()).recipient]));
    const broken = await source.read();
    expect(broken.problems[0]?.message).toMatch(/for other keys/);
    expect(broken).toMatchObject({ objects: [{ stale: true }], held: undefined });
    expect(stored).toEqual([]);
    await writeFile(
      join(folder, "later.yaml.age"),
      await encryptAge(Buffer.from(SECRET), [(await newIdentity()).recipient]),
    );
    expect((await source.read()).held).toBeUndefined();
  } finally {
    await source.stop();
  }
});
